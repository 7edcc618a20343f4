import type { AdapterMix, Purpose, ServedModels } from '../servedModels';
import { ApiError } from './apiError';
import { mixOf } from './modelNames';

/** What is served, and the names of its adapters, in their order. */
export interface NamedModels {
  readonly models: Pick<ServedModels, 'checkMix' | 'purposeOf'>;
  readonly names: readonly string[];
}

const DOES: Readonly<Record<Purpose, string>> = {
  text: 'writes text',
  embedding: 'gives embeddings',
  rating: 'rates documents',
  classes: 'names classes',
  images: 'compares images with texts',
};
const LACKS: Readonly<Record<Purpose, string>> = {
  text: 'it writes no text',
  embedding: 'embeddings need a base that is made for them',
  rating:
    'ranking documents needs a head with one output, of the base or of an adapter for the task reranker',
  classes: 'it names no classes',
  images: 'it reads no images',
};

/** The adapters of a model that is used for a purpose. @throws ApiError, LoraError */
export function mixFor(
  { models, names }: NamedModels,
  model: string,
  purpose: Purpose,
): AdapterMix {
  const mix = mixOf(model, names);
  models.checkMix(mix);
  const own = models.purposeOf(mix);
  if (own === purpose) return mix;
  throw new ApiError(400, `The model ${JSON.stringify(model)} ${DOES[own]}: ${LACKS[purpose]}.`, {
    param: 'model',
  });
}
