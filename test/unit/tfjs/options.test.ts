import * as tf from '@tensorflow/tfjs';
import { expect, it } from 'vitest';
import { applyLora, removeLora, type LoraOptions } from '../../../src/tfjs';

const model = () =>
  tf.sequential({ layers: [tf.layers.dense({ inputShape: [3], units: 2, name: 'out' })] });

it.each<[object, RegExp]>([
  [{ target_modules: ['out'] }, /"target_modules" is no option .* r, lora_alpha, .*targets, seed/],
  [{ targets: ['nothing'] }, /"nothing" is no layer of this model that can be adapted: out/],
  [{ r: 1.5 }, /r must be a whole number above 0, not 1\.5/],
  [{ lora_alpha: 0 }, /lora_alpha must be above 0/],
  [{ lora_alpha: Infinity }, /lora_alpha must be above 0/],
])('the options %j are refused, and the model stays as it was', (options, reason) => {
  const own = model();
  expect(() => applyLora(own, options as LoraOptions)).toThrow(reason);
  expect(own.getLayer('out').trainable).toBe(true);
  expect(applyLora(own, { r: 2, targets: ['out'] }).modules).toHaveLength(1);
  removeLora(own);
});
