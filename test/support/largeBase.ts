import { closeSync, ftruncateSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import path from 'node:path';
import { modulesOf, tensorsOf } from '../../src/formats/architecture/modules';
import { readSpec } from '../../src/formats/architecture/readSpec';
import { toBF16 } from '../../src/formats/floats';
import { writePeftAdapter } from '../../src/formats/peft/write';
import { newAdapter, PLAIN_LORA } from '../../src/lora/newAdapter';

const WIDTH = 2048;
const SHARD_BYTES = 1e9;
const BF16_BYTES = 2;

/**
 * A sharded bf16 llama of zeros with an adapter on all query projections. Its files are sparse, so
 * that they take almost no disk space; the last element of each tensor is markerOf(its index).
 */
export async function makeLargeBase(
  folder: string,
  bytes: number,
  shardBytes = SHARD_BYTES,
): Promise<{ readonly base: string; readonly adapter: string }> {
  const config = llamaConfig(bytes);
  const spec = readSpec(config, 'large');
  const [base, adapter] = [path.join(folder, 'base'), path.join(folder, 'adapter')];
  mkdirSync(base, { recursive: true });
  writeFileSync(path.join(base, 'config.json'), JSON.stringify(config));
  writeShards(base, tensorsOf(spec).body, shardBytes);
  const modules = modulesOf(spec).filter((m) => /\.q_proj$/.test(m.path));
  const settings = { ...PLAIN_LORA, r: 4, lora_alpha: 8, target_modules: ['q_proj'] };
  const plain = newAdapter(modules, settings, base, { seed: 1 });
  const withUpdates = {
    ...plain,
    modules: plain.modules.map((m) => ({ ...m, B: m.B.map((_, i) => Math.sin(i) / 10) })),
  };
  await writePeftAdapter(adapter, withUpdates, { task: 'causal_lm', labels: null, card: '' });
  return { base, adapter };
}

function llamaConfig(bytes: number): Readonly<Record<string, unknown>> {
  const bytesPerLayer = BF16_BYTES * (4 * WIDTH * WIDTH + 3 * WIDTH * 4 * WIDTH);
  return {
    model_type: 'llama',
    architectures: ['LlamaForCausalLM'],
    vocab_size: 1024,
    hidden_size: WIDTH,
    intermediate_size: 4 * WIDTH,
    num_hidden_layers: Math.max(1, Math.round(bytes / bytesPerLayer)),
    num_attention_heads: 16,
    num_key_value_heads: 16,
    tie_word_embeddings: true,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000,
    torch_dtype: 'bfloat16',
  };
}

/** The last element of the tensor with this index: 1 to 200, which bf16 holds exactly. */
export const markerOf = (index: number): number => 1 + (index % 200);

interface ShardTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly bytes: number;
  readonly marker: number;
}

function writeShards(
  folder: string,
  tensors: readonly { readonly name: string; readonly shape: readonly number[] }[],
  shardBytes: number,
): void {
  const sized = tensors.map(({ name, shape }, i) => ({
    name,
    shape,
    bytes: BF16_BYTES * shape.reduce((a, b) => a * b, 1),
    marker: markerOf(i),
  }));
  const shards = groupBySize(sized, shardBytes);
  const weight_map: Record<string, string> = {};
  for (const [i, shard] of shards.entries()) {
    const [number, count] = [i + 1, shards.length].map((n) => String(n).padStart(5, '0'));
    const file = `model-${number!}-of-${count!}.safetensors`;
    writeSparseShard(path.join(folder, file), shard);
    for (const { name } of shard) {
      weight_map[name] = file;
    }
  }
  const index = { metadata: { total_size: 0 }, weight_map };
  writeFileSync(path.join(folder, 'model.safetensors.index.json'), JSON.stringify(index));
}

function groupBySize(tensors: readonly ShardTensor[], maxBytes: number): ShardTensor[][] {
  const shards: ShardTensor[][] = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    if (bytes + tensor.bytes > maxBytes) {
      shards.push([]);
      bytes = 0;
    }
    shards.at(-1)!.push(tensor);
    bytes += tensor.bytes;
  }
  return shards;
}

function writeSparseShard(file: string, tensors: readonly ShardTensor[]): void {
  const entries: Record<string, object> = {};
  let offset = 0;
  for (const { name, shape, bytes } of tensors) {
    entries[name] = { dtype: 'BF16', shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const header = Buffer.from(JSON.stringify(entries));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const handle = openSync(file, 'w');
  writeSync(handle, Buffer.concat([length, header]));
  ftruncateSync(handle, length.length + header.length + offset);
  let end = length.length + header.length;
  for (const { bytes, marker } of tensors) {
    end += bytes;
    const last = Buffer.from(toBF16(Float32Array.of(marker)).buffer);
    writeSync(handle, last, 0, BF16_BYTES, end - BF16_BYTES);
  }
  closeSync(handle);
}
