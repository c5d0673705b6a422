"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
const client_1 = require("@defer/client");
/** Writes the first lines of a letter to one contact. */
async function welcome(contact) {
    if (!contact.email.includes("@")) {
        throw new Error(`${contact.name} has no usable address: ${contact.email}`);
    }
    console.log(`writing to ${contact.email}`);
    return { to: contact.email, text: `Dear ${contact.name},\nwelcome aboard.` };
}
exports.default = (0, client_1.defer)(welcome, {
    retry: { maxAttempts: 1, initialInterval: 1, randomizationFactor: 0.5, multiplier: 2, maxInterval: 60 },
    concurrency: 10,
    maxDuration: 30,
});
