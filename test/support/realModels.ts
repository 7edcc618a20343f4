/** Real pretrained models, fetched once into a cache outside the repository. */
export { minilmPath, smollm2Path } from '../../scripts/models.mjs';
