import type { Family } from '../family';
import type { Spec } from '../spec';
import { bertFamilies } from './bert';
import { bertRelatives } from './bertRelatives';
import { clipFamilies } from './clip';
import { debertaFamilies } from './deberta';
import { dinov2Families } from './dinov2';
import { gemmaFamilies } from './gemma';
import { gemma4Families } from './gemma4';
import { gpt2Families } from './gpt2';
import { gptNeoxFamilies } from './gptNeox';
import { llamaFamilies } from './llama';
import { lfm2Families } from './lfm2';
import { llamaRelatives } from './llamaRelatives';
import { mixtureFamilies } from './mixtures';
import { modernbertFamilies } from './modernbert';
import { phi3Families } from './phi3';
import { qwen35Families } from './qwen35';
import { t5Families } from './t5';
import { vitFamilies } from './vit';

/** The supported model families, by the `model_type` of config.json. */
export const FAMILIES: Readonly<Record<string, Family>> = {
  ...llamaFamilies,
  ...llamaRelatives,
  ...gemmaFamilies,
  ...gemma4Families,
  ...lfm2Families,
  ...mixtureFamilies,
  ...phi3Families,
  ...gpt2Families,
  ...gptNeoxFamilies,
  ...bertFamilies,
  ...bertRelatives,
  ...debertaFamilies,
  ...modernbertFamilies,
  ...qwen35Families,
  ...vitFamilies,
  ...dinov2Families,
  ...clipFamilies,
  ...t5Families,
};

/** The `model_type`s of all families. */
export const KNOWN_FAMILIES: readonly string[] = Object.keys(FAMILIES);

/** The `model_type`s of vision-language models whose images are supported. */
export const VISION_MODELS: readonly string[] = Object.values(FAMILIES).flatMap(({ vision }) =>
  Object.keys(vision ?? {}),
);

/** The family of a model that `readSpec` has read, which knows it therefore. */
export const familyOf = ({ family }: Pick<Spec, 'family'>): Family => FAMILIES[family]!;
