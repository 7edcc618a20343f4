import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { tensorsOf } from '../../src/formats/architecture/modules';
import { readSpec } from '../../src/formats/architecture/readSpec';
import { toBF16 } from '../../src/formats/floats';
import { newAdapter, PLAIN_LORA } from '../../src/lora/newAdapter';
import { modulesOf } from '../../src/formats/architecture/modules';
import { writePeftAdapter } from '../../src/formats/peft/write';

const WIDTH = 2048;
const SHARD = 1e9;

/**
 * A sharded bf16 llama of zeros, whose files are holes but for the last number of each tensor (1,
 * 2, 3, …, 200 and anew), with an adapter on all of its layers' queries: as large as is asked for,
 * without the room.
 */
export async function makeLargeBase(
  folder: string,
  bytes: number,
  shard = SHARD,
): Promise<{ readonly base: string; readonly adapter: string }> {
  const perLayer = 2 * (4 * WIDTH * WIDTH + 3 * WIDTH * 4 * WIDTH);
  const config = {
    model_type: 'llama',
    architectures: ['LlamaForCausalLM'],
    vocab_size: 1024,
    hidden_size: WIDTH,
    intermediate_size: 4 * WIDTH,
    num_hidden_layers: Math.max(1, Math.round(bytes / perLayer)),
    num_attention_heads: 16,
    num_key_value_heads: 16,
    tie_word_embeddings: true,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000,
    torch_dtype: 'bfloat16',
  };
  const spec = readSpec(config, 'large');
  const [base, adapter] = [path.join(folder, 'base'), path.join(folder, 'adapter')];
  mkdirSync(base, { recursive: true });
  writeFileSync(path.join(base, 'config.json'), JSON.stringify(config));
  writeShards(base, tensorsOf(spec).body, shard);
  const modules = modulesOf(spec).filter((m) => /\.q_proj$/.test(m.path));
  const plain = newAdapter(
    modules,
    { ...PLAIN_LORA, r: 4, lora_alpha: 8, target_modules: ['q_proj'] },
    base,
    { seed: 1 },
  );
  await writePeftAdapter(
    adapter,
    {
      ...plain,
      modules: plain.modules.map((m) => ({ ...m, B: m.B.map((_, i) => Math.sin(i) / 10) })),
    },
    { task: 'causal_lm', labels: null, card: '' },
  );
  return { base, adapter };
}

/** What stands at the end of the tensor of that number. */
export const plantedIn = (number: number): number => 1 + (number % 200);

function writeShards(
  folder: string,
  tensors: readonly { readonly name: string; readonly shape: readonly number[] }[],
  shard: number,
): void {
  const sizeOf = (shape: readonly number[]) => 2 * shape.reduce((a, b) => a * b, 1);
  const shards: (typeof tensors)[number][][] = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    if (bytes + sizeOf(tensor.shape) > shard) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)!.push(tensor);
    bytes += sizeOf(tensor.shape);
  }
  const names = shards.map(
    (_, i) =>
      `model-${String(i + 1).padStart(5, '0')}-of-${String(shards.length).padStart(5, '0')}.safetensors`,
  );
  const weight_map: Record<string, string> = {};
  for (const [i, own] of shards.entries()) {
    let offset = 0;
    const header = Buffer.from(
      JSON.stringify(
        Object.fromEntries(
          own.map(({ name, shape }) => {
            weight_map[name] = names[i]!;
            return [
              name,
              { dtype: 'BF16', shape, data_offsets: [offset, (offset += sizeOf(shape))] },
            ];
          }),
        ),
      ),
    );
    const file = openSync(path.join(folder, names[i]!), 'w');
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    writeSync(file, Buffer.concat([length, header]));
    ftruncateSync(file, 8 + header.length + offset);
    let end = 8 + header.length;
    for (const { name, shape } of own) {
      end += sizeOf(shape);
      writeSync(
        file,
        Buffer.from(
          toBF16(Float32Array.of(plantedIn(tensors.findIndex((tensor) => tensor.name === name))))
            .buffer,
        ),
        0,
        2,
        end - 2,
      );
    }
    closeSync(file);
  }
  writeFileSync(
    path.join(folder, 'model.safetensors.index.json'),
    JSON.stringify({ metadata: { total_size: 0 }, weight_map }),
  );
}
