import {
  methodOf,
  type FileFingerprint,
  type RunRecord,
  type StepPlan,
} from '../../../src/shared/run';
import type { DashboardPage } from '../state';

type Texts = Pick<DashboardPage, 't' | 'format'>;
type Fact = readonly [name: string, value: string];

/** What was trained, on what, and with what. */
export function runFacts(page: Texts, run: RunRecord): Fact[] {
  const { t } = page;
  const { versions, recipe_path, git_commit } = run;
  const runtime = [versions.runtime, versions.device].filter(Boolean).join(', ');
  return [
    ...baseFacts(page, run),
    methodFact(page, run),
    ...keptFact(page, run),
    ...dataFacts(page, run),
    ...(versions.runtime ? [[t('recipe.runtime'), runtime] as const] : []),
    [t('recipe.versions'), t('recipe.versions.value', versions.extension, versions.node)],
    ...(versions.system ? [[t('recipe.system'), versions.system] as const] : []),
    ...(recipe_path ? [[t('recipe.file'), recipe_path] as const] : []),
    ...(git_commit ? [[t('recipe.commit'), git_commit] as const] : []),
  ];
}

function baseFacts({ t, format }: Texts, { base }: RunRecord): Fact[] {
  if (!base) return [];
  const fileText = ({ file, size, sha256 }: FileFingerprint) =>
    `${file} (${format.bytes(size)}, sha256 ${sha256.slice(0, 12)}…)`;
  const parameters = format.compact(base.parameters);
  return [
    [t('recipe.base'), t('recipe.base.value', base.name, base.architecture, parameters)],
    [t('recipe.fingerprint'), base.fingerprint.map(fileText).join('\n')],
  ];
}

function methodFact({ t }: Texts, { recipe: { lora, training } }: RunRecord): Fact {
  if (methodOf({ training }) === 'full') return [t('recipe.method'), t('recipe.method.full')];
  const targets =
    typeof lora.target_modules === 'string' ? lora.target_modules : lora.target_modules.join(', ');
  return [t('recipe.adapter'), t('recipe.adapter.value', lora.r, lora.lora_alpha, targets)];
}

/** What the weights are kept in, whether auto chose that, and how many layers are recomputed. */
function keptFact({ t }: Texts, { step_plan, recipe: { training } }: RunRecord): Fact[] {
  if (!step_plan) return [];
  const { recomputed_layers: layers } = step_plan;
  const isAuto = training.base_dtype === 'auto' && methodOf({ training }) !== 'full';
  const form = formText({ t }, step_plan);
  const chosen = isAuto && !step_plan.quantize ? t('recipe.kept.auto', form) : form;
  const text = layers === 0 ? chosen : t('recipe.kept.layers', chosen, layers);
  return [[t('recipe.kept'), text]];
}

function formText({ t }: Pick<Texts, 't'>, { base_dtype, quantized, quantize }: StepPlan): string {
  if (!quantize) return quantized ? t('recipe.kept.blocks', base_dtype) : base_dtype;
  return t(quantized ? 'recipe.kept.quantize' : 'recipe.kept.values', quantize, base_dtype);
}

function dataFacts({ t, format }: Texts, { data }: RunRecord): Fact[] {
  if (!data) return [];
  const { examples, validation_examples, tokens, labelled_tokens } = data;
  return [
    [
      t('recipe.data'),
      t('recipe.data.value', format.count(examples), format.count(validation_examples)),
    ],
    [
      t('recipe.tokens'),
      t('recipe.tokens.value', format.count(tokens), format.count(labelled_tokens)),
    ],
  ];
}
