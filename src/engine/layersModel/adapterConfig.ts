import * as v from 'valibot';
import type { Adapter } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import type { PixelRange } from './inputs';

/**
 * The key `layers_model` of an adapter's config, which says that its modules are kernels of a
 * layers model of TensorFlow.js, and not layers of PyTorch.
 */
const LayersConfigSchema = v.object({
  format: v.literal('tensorflow.js'),
  /** Null: the library for tfjs made it, which does not know. */
  task: v.nullable(v.picklist(['image_cls', 'features'])),
  /** Null: preprocessor_config.json beside the model says it, or there are no images. */
  pixel_range: v.nullable(
    v.pipe(
      v.tuple([v.pipe(v.number(), v.finite()), v.pipe(v.number(), v.finite())]),
      v.check(([black, white]) => black !== white),
    ),
  ),
});
export type LayersConfig = v.InferOutput<typeof LayersConfigSchema>;

const KEY = 'layers_model';

/** Keys that adapter_config.json has beside PEFT's. */
export const layersConfig = (
  task: LayersConfig['task'],
  pixel_range: PixelRange | null,
): Readonly<Record<string, unknown>> => ({
  [KEY]: { format: 'tensorflow.js', task, pixel_range },
});

/**
 * What an adapter's config says of its model.
 *
 * @throws LoraError('adapter') where it is not that of a layers model
 */
export function readLayersConfig({ config }: Pick<Adapter, 'config'>, file: string): LayersConfig {
  const parsed = v.safeParse(LayersConfigSchema, config.raw[KEY]);
  if (parsed.success) return parsed.output;
  throw new LoraError('adapter', 'The adapter is not one of a layers model of TensorFlow.js.', {
    place: { file, key: KEY },
    fix: 'Use an adapter that was trained on a model.json.',
  });
}
