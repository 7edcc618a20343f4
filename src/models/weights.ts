import { checkTensors } from '../formats/decoder';
import type { BaseModel } from '../formats/types';
import { LoraError } from '../shared/errors';
import type { AdapterState, Slot } from './adapterState';
import type { Architecture } from './architecture';
import { breathe } from './breathe';
import type { LayerWeights } from './layer';
import type { Linear } from './linear';
import type { Norm } from './norm';
import { sizeOf, type Ops, type Tensor } from './ops/types';
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

/** Reads a checkpoint into the backing's tensors, each weight once, and knows where each lies. Errors: LoraError('base') where one is missing or damaged. */
export class WeightLoader {
  private readonly placements = new Map<string, Placement>();
  private readonly owned: Tensor[] = [];

  constructor(private readonly ops: Ops, private readonly base: BaseModel, private readonly arch: Architecture, private readonly state: AdapterState) {}

  async load(onProgress: (fraction: number) => void): Promise<DecoderWeights> {
    const { arch } = this;
    checkTensors(this.base.weights.tensors, arch, this.base.path);
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

  /** One tensor of several checkpoint tensors, one below the other; width null: vectors. */
  private async matrix(pieces: readonly Piece[], width: number | null): Promise<Tensor> {
    const columns = width ?? 1;
    const sizes = pieces.map(({ name }) => sizeOf(this.base.weights.tensors.get(name)!.shape));
    const total = sizes.reduce((n, size) => n + size, 0);
    const data = this.ops.room(total);
    let end = 0;
    for (const [i, { name, order }] of pieces.entries()) {
      const target = data.subarray(end, end += sizes[i]!);
      if (order) reorder(await this.base.weights.readF32(name), columns, order, 'there', target);
      else await this.base.weights.readF32(name, target);
    }
    const tensor = this.ops.upload(data, width === null ? [total] : [total / width, width]);
    this.owned.push(tensor);
    let start = 0;
    pieces.forEach(({ name, order }, i) => {
      this.placements.set(name, { tensor, start, length: sizes[i]!, width: columns, order });
      start += sizes[i]!;
    });
    return tensor;
  }
}

const piece = (name: string): Piece => ({ name, order: null });

/** Rows of `width` numbers in the order given (there: new row i is old row order[i]), or back again. */
function reorder(data: Float32Array, width: number, order: Int32Array, way: 'there' | 'back', result: Float32Array = new Float32Array(data.length)): Float32Array {
  order.forEach((old, now) => {
    const [from, to] = way === 'there' ? [old, now] : [now, old];
    result.set(data.subarray(from * width, (from + 1) * width), to * width);
  });
  return result;
}
