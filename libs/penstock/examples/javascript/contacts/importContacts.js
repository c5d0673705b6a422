"use strict";
var __importDefault = (this && this.__importDefault) || function (mod) {
    return (mod && mod.__esModule) ? mod : { "default": mod };
};
Object.defineProperty(exports, "__esModule", { value: true });
const client_1 = require("@defer/client");
const welcome_1 = __importDefault(require("./welcome"));
/** Starts one execution per line of "name,email"; each is a child of this one. */
async function importContacts(csv) {
    const contacts = csv.trim().split("\n").map((line) => {
        const [name, email] = line.split(",").map((part) => part.trim());
        return { name, email };
    });
    const executions = [];
    for (const contact of contacts) {
        const forContact = (0, client_1.assignOptions)(welcome_1.default, { metadata: { contact: contact.name } });
        executions.push(await forContact(contact));
    }
    return executions.map((execution) => execution.id);
}
exports.default = (0, client_1.defer)(importContacts);
/** Waits for one letter and counts its characters. */
async function countLetters(contact) {
    const letter = await (0, client_1.awaitResult)(welcome_1.default)(contact);
    return letter.text.length;
}
exports.countLetters = (0, client_1.defer)(countLetters);
