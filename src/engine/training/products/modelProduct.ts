import path from 'node:path';
import { tensorsOf } from '../../../formats/architecture/modules';
import { areFinite } from '../../../formats/checkFinite';
import { type ReplacedTensor, withReplaced } from '../../../formats/weightSource';
import { withSafetensors } from '../../../formats/safetensors/read';
import { writeSafetensors } from '../../../formats/safetensors/write';
import { readLate } from '../../../formats/tensorWriter';
import type { BaseModel } from '../../../formats/baseModel';
import type { Model } from '../../../models/model';
import { replaceFolder } from '../../../common/atomicWrite';
import { openFolderTarget } from '../../merge/folderTarget';
import type { Recipe } from '../../../shared/recipe';
import { EMPTY_ADAPTER } from '../../model/backend';
import { headLabels } from '../../model/labels';
import type { PreparedTraining } from '../prepare';
import type { Product } from './product';

const WEIGHTS_FILE = 'weights.safetensors';

interface TensorShape {
  readonly name: string;
  readonly shape: readonly number[];
}

const allTensors = ({ spec }: Pick<BaseModel, 'spec'>): TensorShape[] => {
  const { body, head } = tensorsOf(spec);
  return [...body, ...head];
};

/** All weights of the base, in float32, as a model folder. */
export class ModelProduct implements Product {
  readonly kind = 'model';

  constructor(
    private readonly prepared: PreparedTraining,
    private readonly recipe: Pick<Recipe, 'task'>,
    private readonly model: Model,
  ) {}

  async findNonFinite(): Promise<string | null> {
    for (const { name } of allTensors(this.prepared.base)) {
      if (!areFinite(await this.model.baseTensor(name))) return `${name} is no longer finite`;
    }
    return null;
  }

  async fillCheckpoint(folder: string): Promise<void> {
    const tensors = allTensors(this.prepared.base).map(({ name, shape }) => ({
      name,
      dtype: 'F32' as const,
      shape,
      data: () => readLate(() => this.model.baseTensor(name)),
    }));
    await writeSafetensors(path.join(folder, WEIGHTS_FILE), tensors);
  }

  /** Uses the writer of merged models, with the trained weights in place of the base's. */
  async write(folder: string): Promise<void> {
    const {
      prepared: { base, data },
      model,
    } = this;
    const names = allTensors(base);
    const trained = new Map(
      names.map(({ name, shape }): [string, ReplacedTensor] => [
        name,
        { shape, read: () => model.baseTensor(name) },
      ]),
    );
    const head = await Promise.all(
      names
        .filter(({ name }) => base.missing.includes(name))
        .map(async ({ name, shape }) => ({ name, shape, data: await model.baseTensor(name) })),
    );
    const target = await openFolderTarget(
      { ...base, weights: withReplaced(base.weights, trained), replaced: new Set(trained.keys()) },
      [{ ...EMPTY_ADAPTER, trained: head }],
      {
        output: folder,
        dtype: 'float32',
        max_shard_size: null,
        labels: headLabels(this.recipe.task, data.labels),
        top: null,
        retie: null,
      },
    );
    try {
      await replaceFolder(folder, async (temp) => {
        await target.write(temp, {
          onTensor: () => undefined,
          onBytes: () => undefined,
          signal: NEVER_ABORTED,
          file: base.path,
        });
      });
    } finally {
      await target.close();
    }
  }
}

/** Writing the product is not cancelled. */
const NEVER_ABORTED = new AbortController().signal;

/** Calls `use` with the base that has a checkpoint's weights. @throws LoraError */
export function withCheckpointWeights<T>(
  base: BaseModel,
  folder: string,
  use: (base: BaseModel) => Promise<T>,
): Promise<T> {
  return withSafetensors(
    path.join(folder, WEIGHTS_FILE),
    (source) => {
      const weights = new Map(
        allTensors(base).map(({ name, shape }): [string, ReplacedTensor] => [
          name,
          { shape, read: () => source.readF32(name) },
        ]),
      );
      return use({ ...base, weights: withReplaced(base.weights, weights) });
    },
    'run',
  );
}

/** @throws LoraError('run') when a checkpoint's weights are missing or cut short */
export const checkSavedWeights = (folder: string): Promise<void> =>
  withSafetensors(path.join(folder, WEIGHTS_FILE), () => Promise.resolve(), 'run');
