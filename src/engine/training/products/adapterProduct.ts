import path from 'node:path';
import { publishedBase } from '../../../formats/hub/publishedBase';
import { readWeight } from '../../../formats/openBase';
import { areFinite } from '../../../formats/checkFinite';
import { modelCard } from '../../../formats/peft/card';
import { withModelNames } from '../../../formats/peft/modelNames';
import {
  fillAdapterFolder,
  writePeftAdapter,
  type AdapterFacts,
} from '../../../formats/peft/write';
import { convertToPlain } from '../../../lora/startFromWeight';
import type { Model } from '../../../models/model';
import type { Recipe } from '../../../shared/recipe';
import { modelTaskOf } from '../../../shared/task';
import { headLabels } from '../../model/labels';
import type { PreparedTraining } from '../prepare';
import type { Product, ProductFacts } from './product';

/** What an adapter's files say of its training. */
type PreparedAdapter = Pick<PreparedTraining, 'base' | 'adapter' | 'baseCorrection'> & {
  readonly data: Pick<PreparedTraining['data'], 'labels'> & {
    readonly train: { readonly length: number };
  };
};

/** The trained adapter, in PEFT's format. */
export class AdapterProduct implements Product {
  readonly kind = 'adapter';

  constructor(
    private readonly prepared: PreparedAdapter,
    private readonly recipe: Recipe,
    private readonly model: Model,
  ) {}

  async findNonFinite(): Promise<string | null> {
    const { modules, trained } = await this.model.adapter();
    const factors = modules.flatMap(({ A, B, magnitude }) => [
      A,
      B,
      ...(magnitude ? [magnitude] : []),
    ]);
    const allFinite = [...factors, ...trained.map(({ data }) => data)].every(areFinite);
    return allFinite ? null : "The adapter's weights are no longer finite";
  }

  async fillCheckpoint(folder: string, facts: ProductFacts): Promise<void> {
    const adapter = withModelNames(await this.model.adapter(), this.prepared.base.spec);
    await fillAdapterFolder(folder, adapter, this.facts(folder, facts));
  }

  async write(folder: string, facts: ProductFacts): Promise<void> {
    const { baseCorrection, base } = this.prepared;
    const adapter = await this.model.adapter();
    const plain = baseCorrection ? convertToPlain(adapter, baseCorrection) : adapter;
    await writePeftAdapter(folder, withModelNames(plain, base.spec), {
      ...this.facts(folder, facts),
      baseTensor: (tensor) => readWeight(base, tensor),
    });
  }

  private facts(folder: string, { steps, last_loss, validation_loss }: ProductFacts): AdapterFacts {
    const {
      prepared: {
        base,
        data,
        adapter: { config },
      },
      recipe,
      model,
    } = this;
    const target_modules =
      recipe.lora.init_adapter === null ? recipe.lora.target_modules : config.target_modules;
    const labels = headLabels(recipe.task, data.labels);
    return {
      task: modelTaskOf(recipe.task),
      labels,
      card: modelCard({
        task: modelTaskOf(recipe.task),
        labels: labels?.names ?? [],
        frozen_adapters: recipe.lora.frozen_adapters.map((frozen) =>
          path.relative(folder, frozen).replaceAll('\\', '/'),
        ),
        base: publishedBase(base),
        r: config.r,
        lora_alpha: config.lora_alpha,
        target_modules:
          typeof target_modules === 'string' ? target_modules : target_modules.join(', '),
        trainable_parameters: model.trainable_parameters,
        parameters: base.parameters,
        examples: data.train.length,
        steps,
        learning_rate: recipe.training.learning_rate,
        last_loss,
        validation_loss,
      }),
    };
  }
}
