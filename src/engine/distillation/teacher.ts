import { formatSize } from '../../common/formatSize';
import { openChatImages, type ChatImages } from '../../data/images/chatImages';
import { tokenDifference } from '../../data/tokenizer/sameVocabulary';
import { VISION_MODELS } from '../../formats/architecture/families';
import { positionsOf } from '../../formats/architecture/positions';
import { modelSize } from '../../formats/architecture/size';
import { openBase } from '../../formats/openBase';
import type { BaseModel } from '../../formats/baseModel';
import {
  estimateMeasured,
  TEACHER_ROWS,
  type BatchShape,
  type LoadedForm,
} from '../../lora/memory';
import { LoraError } from '../../shared/errors';
import { joinedImages } from '../../shared/imageCounts';
import { distillationOf, type Distillation } from '../../shared/objective';
import type { Recipe } from '../../shared/recipe';
import type { StepPlan } from '../../shared/run';
import { countOf } from '../../shared/values';
import { checkDisk, ESTIMATE_TOLERANCE } from '../training/memoryCheck';
import type { ResourceHooks, ResourceInputs } from '../training/resources';

/** How the teacher of a recipe is used. */
export interface TeacherPlan {
  readonly settings: Distillation;
  readonly form: LoadedForm;
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
  const images = joinedImages(Object.values(data.statistics));
  const has_images = images !== undefined;
  const teacher = await openTeacher(found, base, { recipe, has_images });
  try {
    const settings = { ...found, top_k: Math.min(found.top_k, base.spec.vocab_size) };
    const { train, validation } = data.statistics;
    const longest = Math.max(train.longest, validation.longest);
    const { max_length, packing } = recipe.training;
    const length = packing ? max_length : Math.min(max_length, longest);
    const batch = { rows: TEACHER_ROWS, length, images };
    const { form, needed } = planForm(teacher, batch, step_plan, { recipe, machine });
    const kept = form.quantized ? 'the blocks of its file' : form.base_dtype;
    const bytes = targetBytes(train.labelled_tokens + validation.labelled_tokens, settings.top_k);
    await checkDisk(runDir, bytes);
    info(
      `The teacher ${teacher.name} is kept in ${kept} before training, which needs about ` +
        `${formatSize(needed)} of memory; then it is freed. The ${settings.top_k} most probable ` +
        `tokens of each position take ${formatSize(bytes)} on disk.`,
    );
    return { settings, form };
  } finally {
    await teacher.close();
  }
}

/** Bytes of the file of what a teacher says of labelled tokens. */
const targetBytes = (tokens: number, top_k: number): number =>
  2 * Float32Array.BYTES_PER_ELEMENT * top_k * tokens;

/** What a teacher reads. */
interface TaughtRows {
  readonly recipe: Recipe;
  readonly has_images: boolean;
}

/**
 * Opens a teacher. The caller closes it.
 *
 * @throws LoraError('base') unless it writes the base's tokens, and reads images as the base does
 */
export async function openTeacher(
  { teacher: file }: Pick<Distillation, 'teacher'>,
  base: BaseModel,
  { recipe: { training }, has_images }: TaughtRows,
): Promise<BaseModel> {
  const teacher = await openBase(file, { task: 'causal_lm' });
  try {
    await checkTeacher(teacher, base, Math.min(training.max_length, positionsOf(base.spec)));
    if (has_images) await checkTeacherImages(teacher, base);
    return teacher;
  } catch (error) {
    await teacher.close();
    throw error;
  }
}

/** @throws LoraError('base') where the teacher does not read images as the base does */
async function checkTeacherImages(teacher: BaseModel, base: BaseModel): Promise<void> {
  const [own, ofBase] = await Promise.all([openChatImages(teacher), openChatImages(base)]);
  const refuse = (message: string, fix: string) =>
    new LoraError('base', message, { place: { file: teacher.path }, fix });
  if (!own)
    throw refuse(
      `The rows have images, which the teacher cannot read: images in chats are not supported for ${teacher.spec.family}, only for ${VISION_MODELS.join(', ')}.`,
      'Choose a teacher that reads images, or rows without images.',
    );
  const [has, wanted] = [settingsOf(own), settingsOf(ofBase!)];
  const key = Object.keys(wanted).find((name) => has[name] !== wanted[name]);
  if (key !== undefined)
    throw refuse(
      `The teacher reads images otherwise than the base: its ${key} is ${has[key]}, and not ${wanted[key]}.`,
      'Choose a teacher with the image settings of the base, or make those of both folders equal.',
    );
}

/** The settings that decide what a model sees of an image, as text. */
function settingsOf(reader: ChatImages): Readonly<Record<string, string>> {
  const { normalise, ...others } = reader.settings();
  const all = {
    image_token: reader.image_token,
    ...others,
    image_mean: normalise?.mean ?? null,
    image_std: normalise?.std ?? null,
  };
  return Object.fromEntries(
    Object.entries(all).map(([key, value]) => [key, JSON.stringify(value)]),
  );
}

/** `length`: of the longest input. */
async function checkTeacher(teacher: BaseModel, base: BaseModel, length: number): Promise<void> {
  const refuse = (message: string, fix: string) =>
    new LoraError('base', message, { place: { file: teacher.path }, fix });
  const { vocab_size } = teacher.spec;
  const other = 'Choose a teacher of the same family, with the tokenizer of the base.';
  if (teacher.spec.head.kind !== 'lm')
    throw refuse('The teacher is not a language model.', 'Choose a language model.');
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

interface FormChoice {
  readonly recipe: Recipe;
  readonly machine: ResourceHooks['machine'];
}

interface PlannedForm {
  readonly form: LoadedForm;
  /** Bytes of memory. */
  readonly needed: number;
}

/** In the precision of the base; also in bfloat16, or in its blocks, where only that fits. */
function planForm(
  teacher: BaseModel,
  batch: BatchShape,
  { base_dtype }: StepPlan,
  { recipe, machine }: FormChoice,
): PlannedForm {
  const size = modelSize(teacher);
  const asked = recipe.training.base_dtype;
  const keepsBlocks = machine.hasKernels && size.quantized_bytes !== null;
  const inBlocks: LoadedForm[] = keepsBlocks ? [{ base_dtype, quantized: true }] : [];
  const others: LoadedForm[] = [
    ...(asked === 'auto' && machine.hasBf16 ? [{ base_dtype: 'bfloat16' } as const] : []),
    ...(asked === 'auto' ? inBlocks : []),
  ];
  const forms = [...(asked === 'quantized' ? inBlocks : []), { base_dtype }, ...others];
  const planned = forms.map((form) => ({
    form,
    needed: estimateMeasured(size, batch, form).total,
  }));
  const chosen = planned.find(
    ({ needed }) => needed * (1 - ESTIMATE_TOLERANCE) <= machine.available,
  );
  if (chosen) return chosen;
  const least = planned.reduce((a, b) => (b.needed < a.needed ? b : a));
  throw new LoraError(
    'memory',
    `The teacher needs about ${formatSize(least.needed)} of memory, but only ${formatSize(machine.available)} is free.`,
    {
      place: { file: teacher.path },
      fix: 'Choose a smaller teacher, or close other programs.',
    },
  );
}
