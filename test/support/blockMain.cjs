// Preloaded into the engine: once its command waits for the first time, its main thread enters a
// native call that takes many minutes, as an operation of libtensorflow on a large model does.
const { writeFileSync } = require('node:fs');
const { isMainThread } = require('node:worker_threads');

if (isMainThread) {
  setTimeout(() => {
    writeFileSync(process.env.LORA_BLOCKED, '');
    require('node:crypto').pbkdf2Sync('', '', 2 ** 31 - 1, 64, 'sha512');
  }, 0);
}
