import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { encode } from 'fast-png';
import { tensorsOf, visionTensors } from '../../src/formats/architecture/modules';
import { readSpec } from '../../src/formats/architecture/readSpec';
import { toBF16 } from '../../src/formats/floats';
import { writeSafetensors } from '../../src/formats/safetensors/write';
import type { TensorToWrite } from '../../src/formats/tensorWriter';
import { elementsOf } from '../../src/formats/tensorInfo';
import { createRandom } from '../../src/shared/random';

/** Its tokenizer has 388 tokens, which are the first of the model's. */
const TINY = path.resolve(import.meta.dirname, '../fixtures/qwen3-vl-images/base');
const SIDE = 448;

/** Qwen3-VL with a language model of half a billion parameters and a tower of 0.14 billion. */
export const IMAGE_CONFIG = {
  architectures: ['Qwen3VLForConditionalGeneration'],
  model_type: 'qwen3_vl',
  image_token_id: 386,
  video_token_id: 387,
  vision_start_token_id: 384,
  vision_end_token_id: 385,
  tie_word_embeddings: true,
  text_config: {
    model_type: 'qwen3_vl_text',
    vocab_size: 65_536,
    hidden_size: 1024,
    intermediate_size: 3072,
    num_hidden_layers: 28,
    num_attention_heads: 16,
    num_key_value_heads: 8,
    head_dim: 128,
    hidden_act: 'silu',
    rms_norm_eps: 1e-6,
    max_position_embeddings: 32_768,
    rope_parameters: {
      rope_type: 'default',
      mrope_interleaved: true,
      mrope_section: [24, 20, 20],
      rope_theta: 5_000_000,
    },
  },
  vision_config: {
    model_type: 'qwen3_vl_vision',
    depth: 12,
    hidden_size: 768,
    intermediate_size: 3072,
    num_heads: 12,
    hidden_act: 'gelu_pytorch_tanh',
    in_channels: 3,
    patch_size: 16,
    temporal_patch_size: 2,
    spatial_merge_size: 2,
    num_position_embeddings: 2304,
    out_hidden_size: 1024,
    deepstack_visual_indexes: [3, 6, 9],
    rope_parameters: { rope_type: 'axial', rope_theta: 10_000 },
  },
};

/** Numbers from which all matrices are copied. */
const POOL = 1 << 20;

/** Writes the model with random weights in bf16. */
export async function writeImageModel(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify(IMAGE_CONFIG));
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    cpSync(path.join(TINY, name), path.join(folder, name));
  writeFileSync(
    path.join(folder, 'preprocessor_config.json'),
    JSON.stringify({
      image_processor_type: 'Qwen2VLImageProcessorFast',
      size: { shortest_edge: 65_536, longest_edge: 16_777_216 },
      ...{ patch_size: 16, temporal_patch_size: 2, merge_size: 2 },
      ...{ image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] },
    }),
  );
  const random = createRandom(1, 'weights');
  const pool = toBF16(Float32Array.from({ length: POOL }, () => (random() - 0.5) * 0.06));
  const ones = toBF16(new Float32Array(POOL).fill(1));
  const spec = readSpec(IMAGE_CONFIG, 'config.json');
  const { body, head } = tensorsOf(spec);
  const tensors = [...body, ...head, ...visionTensors(spec.vision!)].map(
    ({ name, shape }): TensorToWrite => {
      const values = shape.length === 1 && name.endsWith('weight') ? ones : pool;
      return {
        ...{ name, shape, dtype: 'BF16' },
        async *data() {
          for (let at = 0; at < elementsOf(shape); at += POOL)
            yield Promise.resolve(values.subarray(0, Math.min(POOL, elementsOf(shape) - at)));
        },
      };
    },
  );
  await writeSafetensors(path.join(folder, 'model.safetensors'), tensors);
}

/** Writes chats about one image each, all of one size and length. */
export function writeChats(folder: string, count: number): void {
  const lines = Array.from({ length: count }, (_, row) => {
    const random = createRandom(row, 'image');
    const data = Uint8Array.from({ length: SIDE ** 2 * 3 }, () => Math.floor(random() * 256));
    const image = `${row}.png`;
    writeFileSync(
      path.join(folder, image),
      encode({ width: SIDE, height: SIDE, data, channels: 3, depth: 8 }),
    );
    const content = [
      { type: 'image', image },
      { type: 'text', text: 'What is it?' },
    ];
    const answer = Array.from({ length: 12 }, (_, i) => `It is ${(row * 7 + i) % 10}.`).join(' ');
    return JSON.stringify({
      messages: [
        { role: 'user', content },
        { role: 'assistant', content: answer },
      ],
    });
  });
  writeFileSync(path.join(folder, 'rows.jsonl'), `${lines.join('\n')}\n`);
}
