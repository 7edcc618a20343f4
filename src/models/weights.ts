import type { BaseModel } from '../formats/types';
import { LoraError, type Problem } from '../shared/errors';
import type { AdapterState, Slot } from './adapterState';
import type { Architecture } from './architecture';
import { breathe } from './breathe';
import type { LayerWeights } from './layer';
import type { Linear } from './linear';
import { targetableModules } from './modules';
import type { Norm } from './norm';
import type { Ops, Tensor } from './ops/types';
import { interleavedRows } from './rope';

/** Where a checkpoint's tensor lies in memory: rows of a fused tensor, in another order. */
interface Placement {
  readonly tensor: Tensor;
  readonly start: number;
  readonly length: number;
  readonly width: number;
  readonly order: Int32Array | null;
}

export interface DecoderWeights {
  readonly embedding: Tensor; // [vocab, d]
  readonly layers: readonly LayerWeights[];
  readonly norm: Norm;
  readonly output: Linear;
}

interface Piece {
  readonly name: string;
  readonly order: Int32Array | null;
}

/** Reads a checkpoint into the backing's tensors, each weight once, and knows where each lies. */
export class WeightLoader {
  private readonly placements = new Map<string, Placement>();
  private readonly owned: Tensor[] = [];

  constructor(private readonly ops: Ops, private readonly base: BaseModel, private readonly arch: Architecture, private readonly state: AdapterState) {}

  async load(onProgress: (fraction: number) => void): Promise<DecoderWeights> {
    this.check();
    const { arch } = this;
    const embedding = await this.matrix([piece('model.embed_tokens.weight')], arch.hidden_size);
    const layers: LayerWeights[] = [];
    for (let i = 0; i < arch.num_layers; i++) {
      layers.push(await this.layer(i));
      onProgress((i + 1) / (arch.num_layers + 1));
      await breathe();
    }
    const norm = await this.norm('model.norm.weight');
    const weight = arch.tied ? embedding : await this.matrix([piece('lm_head.weight')], arch.hidden_size);
    const lora = this.state.block([{ path: 'lm_head', row: 0, order: null }], arch.hidden_size, arch.vocab_size);
    onProgress(1);
    return { embedding, layers, norm, output: { weight, bias: null, lora } };
  }

  /** A weight as it is in memory now, under its name and in its order in the checkpoint. */
  async read(name: string): Promise<Float32Array> {
    const at = this.placements.get(name);
    if (!at) throw new LoraError('base', `The model has no tensor ${name}.`, { place: { file: this.base.path, tensor: name } });
    const all = await this.ops.download(at.tensor);
    const own = all.subarray(at.start, at.start + at.length);
    return at.order ? reorder(own, at.width, at.order, 'back') : own.slice();
  }

  dispose(): void {
    this.ops.free(...this.owned);
    this.owned.length = 0;
  }

  private async layer(i: number): Promise<LayerWeights> {
    const { arch } = this;
    const at = `model.layers.${i}`;
    const q = arch.num_heads * arch.head_dim;
    const kv = arch.num_kv_heads * arch.head_dim;
    const qkv = [
      { part: 'self_attn.q_proj', rows: q, order: interleavedRows(q, arch.head_dim) },
      { part: 'self_attn.k_proj', rows: kv, order: interleavedRows(kv, arch.head_dim) },
      { part: 'self_attn.v_proj', rows: kv, order: null },
    ];
    const one = (part: string, rows: number) => [{ part, rows, order: null }];
    return {
      input_norm: await this.norm(`${at}.input_layernorm.weight`),
      qkv: await this.linear(at, qkv, arch.hidden_size, arch.qkv_bias),
      o: await this.linear(at, one('self_attn.o_proj', arch.hidden_size), q, arch.o_bias),
      post_norm: await this.norm(`${at}.post_attention_layernorm.weight`),
      gate: await this.linear(at, one('mlp.gate_proj', arch.intermediate_size), arch.hidden_size, arch.mlp_bias),
      up: await this.linear(at, one('mlp.up_proj', arch.intermediate_size), arch.hidden_size, arch.mlp_bias),
      down: await this.linear(at, one('mlp.down_proj', arch.hidden_size), arch.intermediate_size, arch.mlp_bias),
      window: arch.windows[i]!,
    };
  }

  private async norm(name: string): Promise<Norm> {
    const weight = await this.matrix([piece(name)], null);
    return { weight, eps: this.arch.norm_eps };
  }

  private async linear(at: string, parts: readonly { part: string; rows: number; order: Int32Array | null }[], width: number, biased: boolean): Promise<Linear> {
    const pieces = (kind: string) => parts.map(({ part, order }) => ({ name: `${at}.${part}.${kind}`, order }));
    const weight = await this.matrix(pieces('weight'), width);
    const bias = biased ? await this.matrix(pieces('bias'), null) : null;
    let out = 0;
    const slots = parts.map(({ part, rows, order }): Slot => {
      const row = out;
      out += rows;
      return { path: `${at}.${part}`, row, order };
    });
    return { weight, bias, lora: this.state.block(slots, width, out) };
  }

  /** All tensors that this architecture needs, before any is read. Errors: LoraError with every one that is missing or has another shape. */
  private check(): void {
    const problems = expectedTensors(this.arch).flatMap(({ name, shape }): Problem[] => {
      const info = this.base.weights.tensors.get(name);
      const place = { file: this.base.path, tensor: name };
      if (!info) return [{ severity: 'error', message: 'is missing', place }];
      if (info.shape.join() === shape.join()) return [];
      return [{ severity: 'error', message: `has shape [${info.shape.join(', ')}], the config asks for [${shape.join(', ')}]`, place }];
    });
    if (problems.length === 0) return;
    throw new LoraError('base', `The checkpoint does not fit its config: ${problems.length} of its tensors are missing or have another shape.`, {
      place: { file: this.base.path }, problems: problems.slice(0, MAX_PROBLEMS),
      fix: 'Download the model again, all of its files, and check that config.json belongs to it.',
    });
  }

  /** One tensor of several checkpoint tensors, one below the other; width null: vectors. */
  private async matrix(pieces: readonly Piece[], width: number | null): Promise<Tensor> {
    const columns = width ?? 1;
    const parts: Float32Array[] = [];
    for (const { name, order } of pieces) {
      const data = await this.base.weights.readF32(name);
      parts.push(order ? reorder(data, columns, order, 'there') : data);
    }
    const total = parts.reduce((n, p) => n + p.length, 0);
    const data = parts.length === 1 ? parts[0]! : join(parts, total);
    const tensor = this.ops.upload(data, width === null ? [total] : [total / width, width]);
    this.owned.push(tensor);
    let start = 0;
    pieces.forEach(({ name, order }, i) => {
      this.placements.set(name, { tensor, start, length: parts[i]!.length, width: columns, order });
      start += parts[i]!.length;
    });
    return tensor;
  }
}

const MAX_PROBLEMS = 20;

const piece = (name: string): Piece => ({ name, order: null });

function join(parts: readonly Float32Array[], total: number): Float32Array {
  const joined = new Float32Array(total);
  let at = 0;
  for (const p of parts) {
    joined.set(p, at);
    at += p.length;
  }
  return joined;
}

/** Rows of `width` numbers in the order given (there: new row i is old row order[i]), or back again. */
function reorder(data: Float32Array, width: number, order: Int32Array, way: 'there' | 'back'): Float32Array {
  const result = new Float32Array(data.length);
  order.forEach((old, now) => {
    const [from, to] = way === 'there' ? [old, now] : [now, old];
    result.set(data.subarray(from * width, (from + 1) * width), to * width);
  });
  return result;
}

/** Names and shapes as in the checkpoint. */
function expectedTensors(arch: Architecture): { readonly name: string; readonly shape: readonly number[] }[] {
  const biased = (path: string) => (/mlp/.test(path) ? arch.mlp_bias : /o_proj/.test(path) ? arch.o_bias : arch.qkv_bias);
  const matrices = targetableModules(arch).filter((m) => m.path !== 'lm_head' || !arch.tied);
  const d = arch.hidden_size;
  const norms = Array.from({ length: arch.num_layers }, (_, i) => [`model.layers.${i}.input_layernorm.weight`, `model.layers.${i}.post_attention_layernorm.weight`]);
  return [
    ...matrices.map((m) => ({ name: `${m.path}.weight`, shape: m.kind === 'embedding' ? [m.in_features, m.out_features] : [m.out_features, m.in_features] })),
    ...matrices.filter((m) => m.kind === 'linear' && !m.is_output && biased(m.path)).map((m) => ({ name: `${m.path}.bias`, shape: [m.out_features] })),
    ...[...norms.flat(), 'model.norm.weight'].map((name) => ({ name, shape: [d] })),
  ];
}
