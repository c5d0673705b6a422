"use strict";
// The older form: as on AWS Lambda. Whatever it returns is thrown away; only an error is tried again.

exports.handler = async function handler(event, context) {
  const { name } = JSON.parse(event.body ?? '{"name": "nobody"}');
  console.log(`${event.httpMethod} ${event.path} for ${name}, request ${context.awsRequestId}`);
  if (name === "") {
    throw new Error("A sign-up needs a name.");
  }
  return { statusCode: 200, body: `Welcome, ${name}` };
};
