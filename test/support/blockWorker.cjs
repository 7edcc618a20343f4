// Preloaded into the engine: once the file LORA_BLOCK exists, its worker thread enters a native call
// that takes many minutes, as an operation of libtensorflow on a large batch does.
const { existsSync, writeFileSync } = require('node:fs');
const { isMainThread } = require('node:worker_threads');

if (!isMainThread) {
  const file = process.env.LORA_BLOCK;
  const timer = setInterval(() => {
    if (!existsSync(file)) return;
    writeFileSync(`${file}ed`, '');
    require('node:crypto').pbkdf2Sync('', '', 2 ** 31 - 1, 64, 'sha512');
  }, 5);
  timer.unref();
}
