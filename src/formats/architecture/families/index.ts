import type { Family } from '../family';
import { bertFamilies } from './bert';
import { gemmaFamilies } from './gemma';
import { gpt2Families } from './gpt2';
import { gptNeoxFamilies } from './gptNeox';
import { llamaFamilies } from './llama';
import { phi3Families } from './phi3';
import { vitFamilies } from './vit';

/** The architecture table: model_type, as config.json says it, to what it means. */
export const FAMILIES: Readonly<Record<string, Family>> = {
  ...llamaFamilies,
  ...gemmaFamilies,
  ...phi3Families,
  ...gpt2Families,
  ...gptNeoxFamilies,
  ...bertFamilies,
  ...vitFamilies,
};

export const KNOWN_FAMILIES: readonly string[] = Object.keys(FAMILIES);
