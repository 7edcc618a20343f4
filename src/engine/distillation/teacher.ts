import { formatSize } from '../../common/formatSize';
import { tokenDifference } from '../../data/tokenizer/sameVocabulary';
import { positionsOf } from '../../formats/architecture/positions';
import { modelSize } from '../../formats/architecture/size';
import { openBase } from '../../formats/openBase';
import type { BaseModel } from '../../formats/baseModel';
import { estimateMeasured, TEACHER_ROWS, type BatchShape } from '../../lora/memory';
import { LoraError } from '../../shared/errors';
import { distillationOf, type Distillation } from '../../shared/objective';
import type { Recipe } from '../../shared/recipe';
import type { StepPlan } from '../../shared/run';
import { countOf } from '../../shared/values';
import { checkDisk, ESTIMATE_TOLERANCE } from '../training/memoryCheck';
import type { ResourceHooks, ResourceInputs } from '../training/resources';

/** How the teacher of a recipe is used. */
export interface TeacherPlan {
  readonly settings: Distillation;
  readonly base_dtype: StepPlan['base_dtype'];
}

/** What `planTeacher` needs to know. */
type TeacherInputs = Pick<ResourceInputs, 'recipe' | 'base' | 'data' | 'runDir'>;

/**
 * Checks that the teacher fits the base, memory and disk, and reports what it needs. Null: the
 * recipe has no teacher.
 *
 * @throws LoraError
 */
export async function planTeacher(
  { recipe, base, data, runDir }: TeacherInputs,
  step_plan: StepPlan,
  { info, machine }: Pick<ResourceHooks, 'info' | 'machine'>,
): Promise<TeacherPlan | null> {
  const found = distillationOf(recipe);
  if (!found) return null;
  const teacher = await openTeacher(found, base, recipe);
  try {
    const settings = { ...found, top_k: Math.min(found.top_k, base.spec.vocab_size) };
    const { train, validation } = data.statistics;
    const longest = Math.max(train.longest, validation.longest);
    const { max_length, packing } = recipe.training;
    const length = packing ? max_length : Math.min(max_length, longest);
    const plan = planDtype(teacher, { rows: TEACHER_ROWS, length }, step_plan, {
      recipe,
      machine,
    });
    const bytes = targetBytes(train.labelled_tokens + validation.labelled_tokens, settings.top_k);
    await checkDisk(runDir, bytes);
    info(
      `The teacher ${teacher.name} is kept in ${plan.base_dtype} before training, which needs about ` +
        `${formatSize(plan.needed)} of memory; then it is freed. The ${settings.top_k} most probable ` +
        `tokens of each position take ${formatSize(bytes)} on disk.`,
    );
    return { settings, base_dtype: plan.base_dtype };
  } finally {
    await teacher.close();
  }
}

/** Bytes of the file of what a teacher says of labelled tokens. */
const targetBytes = (tokens: number, top_k: number): number =>
  2 * Float32Array.BYTES_PER_ELEMENT * top_k * tokens;

/**
 * Opens a teacher. The caller closes it.
 *
 * @throws LoraError('base') unless it writes the same tokens as the base
 */
export async function openTeacher(
  { teacher: file }: Pick<Distillation, 'teacher'>,
  base: BaseModel,
  { training }: Pick<Recipe, 'training'>,
): Promise<BaseModel> {
  const teacher = await openBase(file, { task: 'causal_lm' });
  try {
    await checkTeacher(teacher, base, Math.min(training.max_length, positionsOf(base.spec)));
    return teacher;
  } catch (error) {
    await teacher.close();
    throw error;
  }
}

/** `length`: of the longest input. */
async function checkTeacher(teacher: BaseModel, base: BaseModel, length: number): Promise<void> {
  const refuse = (message: string, fix: string) =>
    new LoraError('base', message, { place: { file: teacher.path }, fix });
  const { vocab_size } = teacher.spec;
  const other = 'Choose a teacher of the same family, with the tokenizer of the base.';
  if (teacher.spec.head.kind !== 'lm')
    throw refuse('The teacher is no language model.', 'Choose a language model.');
  if (vocab_size !== base.spec.vocab_size)
    throw refuse(
      `The teacher has another vocabulary than the base: ${vocab_size} tokens, and not ${base.spec.vocab_size}.`,
      other,
    );
  const difference = tokenDifference(await teacher.readTokenizer(), await base.readTokenizer());
  if (difference !== null)
    throw refuse(`The teacher has another tokenizer than the base: it has ${difference}.`, other);
  const positions = positionsOf(teacher.spec);
  if (positions < length)
    throw refuse(
      `The teacher reads no more than ${countOf(positions, 'token')}, but rows may have ${length}.`,
      `Set training.max_length to ${positions} or less.`,
    );
}

interface DtypeChoice {
  readonly recipe: Recipe;
  readonly machine: ResourceHooks['machine'];
}

/** float32 or bfloat16 as the base; also bfloat16 where only that fits. */
function planDtype(
  teacher: BaseModel,
  batch: BatchShape,
  step_plan: StepPlan,
  { recipe, machine }: DtypeChoice,
): { readonly base_dtype: StepPlan['base_dtype']; readonly needed: number } {
  const size = modelSize(teacher);
  const needs = (base_dtype: StepPlan['base_dtype']) => ({
    base_dtype,
    needed: estimateMeasured(size, batch, base_dtype).total,
  });
  const fits = ({ needed }: { readonly needed: number }) =>
    needed * (1 - ESTIMATE_TOLERANCE) <= machine.available;
  const first = needs(step_plan.base_dtype);
  const mayChange = recipe.training.base_dtype === 'auto' && machine.hasBf16;
  const chosen = fits(first) || !mayChange ? first : needs('bfloat16');
  if (fits(chosen)) return chosen;
  throw new LoraError(
    'memory',
    `The teacher needs about ${formatSize(chosen.needed)} of memory, but only ${formatSize(machine.available)} is free.`,
    {
      place: { file: teacher.path },
      fix: 'Choose a smaller teacher, or close other programs.',
    },
  );
}
