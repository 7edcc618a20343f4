/**
 * The process that `probe` starts: multiplies two matrices with the binding in LORA_TFJS_BINDING
 * and prints its version and device.
 */
import { loadTensorflow } from './loadTfjs';

try {
  const tf = loadTensorflow(process.env['LORA_TFJS_BINDING'] ?? '', __dirname);
  const product = tf.matMul(tf.tensor2d([[1, 2]]), tf.tensor2d([[3], [4]])).dataSync()[0];
  if (product !== 11) throw new Error(`1·3 + 2·4 gave ${String(product)}`);
  const { binding } = tf.backend() as unknown as {
    binding: { TF_Version: string; isUsingGpuDevice(): boolean };
  };
  process.stdout.write(
    `${JSON.stringify({ tensorflow_version: binding.TF_Version, device: binding.isUsingGpuDevice() ? 'gpu' : 'cpu' })}\n`,
  );
} catch (error) {
  // Uncaught, Node would print the minified bundle's only line with it.
  process.stderr.write(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
