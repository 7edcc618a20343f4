import { areFinite } from '../../formats/checkFinite';
import { fillAdapterFolder, writePeftAdapter, type AdapterFacts } from '../../formats/peft/write';
import { layersCard } from '../../formats/layersModel/card';
import type { LabelSet } from '../../data/tasks/labelSet';
import type { Product, ProductFacts } from '../training/products/product';
import type { LayersTraining } from './layersTraining';

/** What the files of an adapter say of its training. */
interface Trained {
  readonly labels: LabelSet;
  /** Of the base, without its folder. */
  readonly base: string;
  readonly learning_rate: number;
  readonly examples: number;
}

/** The trained adapter of a layers model, in PEFT's files. */
export class LayersProduct implements Product {
  readonly kind = 'adapter';

  constructor(
    private readonly model: LayersTraining,
    private readonly trained: Trained,
  ) {}

  async findNonFinite(): Promise<string | null> {
    const { modules, trained } = await this.model.adapter();
    const all = [...modules.flatMap(({ A, B }) => [A, B]), ...trained.map(({ data }) => data)];
    return all.every(areFinite) ? null : "The adapter's weights are no longer finite";
  }

  async fillCheckpoint(folder: string, facts: ProductFacts): Promise<void> {
    await fillAdapterFolder(folder, await this.model.adapter(), await this.facts(facts));
  }

  async write(folder: string, facts: ProductFacts): Promise<void> {
    await writePeftAdapter(folder, await this.model.adapter(), await this.facts(facts));
  }

  private async facts(facts: ProductFacts): Promise<AdapterFacts> {
    const { labels, ...others } = this.trained;
    const { config, modules } = await this.model.adapter();
    const { trainable_parameters } = this.model;
    const card = layersCard({
      ...facts,
      ...others,
      labels: labels.names,
      r: config.r,
      lora_alpha: config.lora_alpha,
      kernels: modules.length,
      trainable_parameters,
    });
    // PEFT has no task of its own for these models, as for images
    return { task: 'image_cls', labels, card };
  }
}
