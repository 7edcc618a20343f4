// Sets variables as the engine does, after the start of the program, then loads libtensorflow,
// which says whether it uses oneDNN.
import { createRequire } from 'node:module';
import path from 'node:path';
import { findRuntime } from '../../../src/runtime/findRuntime';

const { dist, home, oneDnn } = JSON.parse(process.argv[2] ?? '') as Record<string, string>;
process.env['TF_CPP_MIN_LOG_LEVEL'] = '0';
process.env['TF_ENABLE_ONEDNN_OPTS'] = oneDnn;

void findRuntime({ dist: dist!, home: home! }).then((runtime) => {
  if (runtime?.kind !== 'tensorflow') throw new Error('No runtime is installed.');
  process.env['LORA_TFJS_BINDING'] = runtime.binding;
  createRequire(path.join(dist!, 'index.js'))('./tfjs-node.js');
});
