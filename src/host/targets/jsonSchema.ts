import { toJsonSchema } from '@valibot/to-json-schema';
import { TargetsSchema } from '../../targets/targetSchema';

/** The JSON schema of targets.json, for completion, hovers and validation. */
export const targetsJsonSchema = (): object => ({
  ...toJsonSchema(TargetsSchema, { typeMode: 'input', target: 'draft-07', errorMode: 'ignore' }),
  title: 'LoRA Workbench targets',
  allowComments: true,
  allowTrailingCommas: true,
});
