// The newer form: a web Request, and a configuration that makes it a background function.

export default async function report(request, context) {
  const { rows } = await request.json();
  context.waitUntil(Promise.resolve(rows.length).then((count) => console.log(`${count} rows filed`)));
  console.log(`${request.method} ${new URL(request.url).pathname}, request ${context.requestId}`);
}

export const config = { background: true };
