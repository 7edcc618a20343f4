/**
 * The process that `probe` and `measureRuntime` start. `probe.js` multiplies two matrices with the
 * binding in LORA_TFJS_BINDING and prints its version, its device and what products of bf16 are
 * there. `probe.js speed` prints the speed of a product, without a binding that of WebAssembly, and
 * its number of threads.
 */
import { loadTensorflow, loadWasm } from './loadTfjs';
import { measureBf16, measureGflops } from './speed';

function check(binding: string): object {
  const tf = loadTensorflow(binding, __dirname);
  const product = tf.matMul(tf.tensor2d([[1, 2]]), tf.tensor2d([[3], [4]])).dataSync()[0];
  if (product !== 11) throw new Error(`1·3 + 2·4 gave ${String(product)}`);
  const { binding: loaded } = tf.backend() as unknown as {
    binding: { TF_Version: string; isUsingGpuDevice(): boolean };
  };
  return {
    tensorflow_version: loaded.TF_Version,
    device: loaded.isUsingGpuDevice() ? 'gpu' : 'cpu',
    bf16: measureBf16(tf),
  };
}

async function main(): Promise<object> {
  const binding = process.env['LORA_TFJS_BINDING'] ?? '';
  if (process.argv[2] !== 'speed') return check(binding);
  if (binding) return { gflops: measureGflops(loadTensorflow(binding, __dirname)) };
  const tf = await loadWasm(__dirname);
  return { gflops: measureGflops(tf), threads: tf.getThreadsCount() };
}

main().then(
  (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`),
  (error: unknown) => {
    // Uncaught, Node would print the minified bundle's only line with it.
    process.stderr.write(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  },
);
