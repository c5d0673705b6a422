// Tells `import` where the packages are that this host stands in for, on Node versions without synchronous hooks.

let urls = {};

export function initialize(data) {
  urls = data;
}

export function resolve(specifier, context, next) {
  if (Object.hasOwn(urls, specifier)) return { url: urls[specifier], format: 'commonjs', shortCircuit: true };
  return next(specifier, context);
}
