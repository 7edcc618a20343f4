import type { NamedTensor } from '../model';

/** The kind of a trained tensor, which may decide its learning rate. */
export type ParameterRole = 'A' | 'B' | 'magnitude' | 'embedding' | 'trained';

/**
 * Which steps have a gradient of a tensor: all; those with images in their batches, of a vision
 * encoder; or none, of a layer that nothing depends on. PyTorch's AdamW passes over a tensor whose
 * gradient is none: it is not decayed, and its step does not count.
 */
export type Reach = 'always' | 'images' | 'never';

/** A trained tensor and its numbers before training. */
export interface ParameterStart {
  /** Its name in the adapter's file. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly role: ParameterRole;
  /** Default: always. */
  readonly reach?: Reach;
  readonly data: Float32Array;
}

/** A trained tensor's place in the flat vector. */
export interface Parameter extends Omit<ParameterStart, 'data' | 'reach'> {
  readonly reach: Reach;
  readonly offset: number;
  readonly size: number;
}

/** All trained numbers as one flat vector, and their accumulated gradients. */
export class Parameters {
  readonly theta: Float32Array;
  readonly gradients: Float32Array;
  readonly all: readonly Parameter[];
  /** Whether gradients of a vision encoder were added since the last step. */
  imagesReached = false;
  private readonly byName: ReadonlyMap<string, Parameter>;

  /** `allocate`: the memory of the vectors, with zeros. */
  constructor(
    starts: readonly ParameterStart[],
    allocate = (size: number): Float32Array => new Float32Array(size),
  ) {
    let size = 0;
    this.all = starts.map(({ name, shape, role, reach = 'always', data }) => {
      const offset = size;
      size += data.length;
      return { name, shape, role, reach, offset, size: data.length };
    });
    this.theta = allocate(size);
    this.gradients = allocate(size);
    starts.forEach(({ data }, i) => this.theta.set(data, this.all[i]!.offset));
    this.byName = new Map(this.all.map((p) => [p.name, p]));
  }

  /** @throws RangeError if there is none of this name. */
  get(name: string): Parameter {
    const found = this.byName.get(name);
    if (!found) throw new RangeError(`No parameter is called ${name}.`);
    return found;
  }

  /** A view, not a copy. */
  value({ offset, size }: Parameter): Float32Array {
    return this.theta.subarray(offset, offset + size);
  }

  /** A view, not a copy. */
  gradient({ offset, size }: Parameter): Float32Array {
    return this.gradients.subarray(offset, offset + size);
  }

  /** The accumulated gradients divided by `count`, by name. */
  namedGradients(count: number): Map<string, NamedTensor> {
    return new Map(
      this.all.map((p) => [
        p.name,
        { shape: p.shape, data: this.gradient(p).map((g) => g / count) },
      ]),
    );
  }
}

/** sum += factor · term */
export function addInto(sum: Float32Array, term: Float32Array, factor = 1): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += factor * term[i]!;
}
