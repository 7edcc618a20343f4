/** The real SmolLM2-135M-Instruct as a .gguf file, fetched once into a cache outside the repository. */
export { smollm2Path } from '../../scripts/smollm2.mjs';
