// How tfjs is bundled, over libtensorflow (tfjs-node) and over WebAssembly.
import path from 'node:path';

const resolveDir = path.resolve(import.meta.dirname, '..');

/** tfjs-node finds its addon through node-pre-gyp; here the runtime names it. */
const BINDING = 'exports.find = () => process.env.LORA_TFJS_BINDING;';

/**
 * Of the tfjs that tfjs-node builds on, ops and the CPU backend are enough: compiling Keras-like
 * layers, converters and WebGL would add a tenth of a second to each start.
 */
const TFJS = `
const core = require('@tensorflow/tfjs-core');
require('@tensorflow/tfjs-backend-cpu');
module.exports = {
  ...core,
  version: { 'tfjs-core': core.version_core },
  CustomCallback: class {},
  registerCallbackConstructor() {},
};`;

/** tfjs-node uses functions of util that newer versions of Node no longer have. */
const TFJS_NODE = `
const util = require('util');
util.isNullOrUndefined ??= (x) => x === null || x === undefined;
util.isArray ??= Array.isArray;
module.exports = require('@tensorflow/tfjs-node');`;

/** tfjs with the WebAssembly backend, and that of JavaScript for what WebAssembly lacks. */
export const TFJS_WASM = `
const tf = require('@tensorflow/tfjs-core');
require('@tensorflow/tfjs-backend-cpu');
const wasm = require('@tensorflow/tfjs-backend-wasm');
const { setWasmPaths, setThreadsCount, getThreadsCount } = wasm;
module.exports = Object.assign({}, tf, { setWasmPaths, setThreadsCount, getThreadsCount });`;

/** Bundles the entry point lora:tfjs-node. */
export const tfjsNode = {
  name: 'tfjs-node',
  setup({ onResolve, onLoad }) {
    const replace = (filter, name, contents) => {
      onResolve({ filter }, () => ({ path: name, namespace: 'lora' }));
      onLoad({ filter: new RegExp(`^${name}$`), namespace: 'lora' }, () => ({
        contents,
        resolveDir,
      }));
    };
    replace(/^@mapbox\/node-pre-gyp$/, 'binding', BINDING);
    replace(/^@tensorflow\/tfjs$/, 'tfjs', TFJS);
    replace(/^lora:tfjs-node$/, 'tfjs-node', TFJS_NODE);
  },
};

/** Keras-like layers over the tfjs that src/runtime/loadTfjs.ts has loaded. */
export const TFJS_LAYERS = `module.exports = require('@tensorflow/tfjs-layers/dist/index.js');`;
export const loadedTfjs = {
  name: 'loaded-tfjs',
  setup({ onResolve, onLoad }) {
    const place = { path: 'core', namespace: 'loaded-tfjs' };
    onResolve({ filter: /^@tensorflow\/tfjs-core$/ }, () => place);
    onLoad({ filter: /./, namespace: 'loaded-tfjs' }, () => ({
      contents: `module.exports = globalThis[Symbol.for('lora.tfjs')];`,
    }));
  },
};
