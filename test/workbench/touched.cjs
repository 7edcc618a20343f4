// Loaded into every process of a workbench by NODE_OPTIONS: writes which paths with the marker
// LORA_MARKER were given to the functions of the file system into the file LORA_TOUCHED. VS Code
// removes the variable for the extension host, so it is given to it again.
const childProcess = require('node:child_process');
const fs = require('node:fs');
const { syncBuiltinESMExports } = require('node:module');
const { LORA_MARKER: marker, LORA_TOUCHED: log } = process.env;
const append = fs.appendFileSync;

/** Functions with two paths; of others, only the first argument is one. */
const TWO_PATHS = /^(?:rename|copyFile|cp|link|symlink)/;
let writing = false;

function watch(object) {
  for (const [name, call] of Object.entries(object)) {
    if (typeof call !== 'function' || /^[A-Z_]/.test(name)) continue;
    object[name] = new Proxy(call, {
      apply(target, self, args) {
        note(name, args.slice(0, TWO_PATHS.test(name) ? 2 : 1));
        return Reflect.apply(target, self, args);
      },
    });
  }
}

function note(name, args) {
  const paths = args
    .map((arg) => (arg instanceof URL ? arg.pathname : arg))
    .filter((arg) => typeof arg === 'string' && arg.includes(marker));
  if (writing || paths.length === 0) return;
  writing = true;
  append(log, `${name} ${paths.join(' ')}\n`);
  writing = false;
}

if (marker && log) {
  watch(fs.promises);
  watch(fs);
  const { fork } = childProcess;
  childProcess.fork = (file, args, { env = process.env, ...options } = {}) =>
    fork(file, args, { ...options, env: { ...env, NODE_OPTIONS: `--require=${__filename}` } });
  syncBuiltinESMExports();
}
