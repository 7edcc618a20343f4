import { openChatImages } from '../images/chatImages';
import { openImages } from '../images/reader';
import type { DataTools } from './prepare';
import { createTokenizer } from '../tokenizer/createTokenizer';
import { positionsOf } from '../../formats/architecture/positions';
import type { BaseModel } from '../../formats/baseModel';
import { variablesIn, type TemplateVariables } from '../../shared/chatVariables';

/** What chat templates see beside the rows. */
interface TemplateOptions {
  /** The time for strftime_now: the start of the run. Default: now. */
  readonly now?: Date;
  readonly chat_template_kwargs?: TemplateVariables;
}

/**
 * The tokenizer or image reader that turns rows into a base's inputs.
 *
 * @throws LoraError when the base has no tokenizer or its image settings are not supported
 */
export async function dataToolsOf(
  base: BaseModel,
  { now = new Date(), chat_template_kwargs = {} }: TemplateOptions = {},
): Promise<Omit<DataTools, 'onProgress'>> {
  const { embedding, vocab_size } = base.spec;
  if (embedding.kind === 'patches')
    return {
      tokenizer: null,
      images: await openImages(base),
      has_types: false,
      max_positions: Infinity,
    };
  const tokenizer = createTokenizer(await base.readTokenizer(), {
    now,
    chat_template_kwargs: variablesIn(chat_template_kwargs) ?? {},
  });
  const { head, source } = base.spec;
  const isPaired = head.kind === 'contrastive';
  return {
    tokenizer,
    images: isPaired ? await openImages({ spec: head.images, path: base.path }) : null,
    chat_images: await openChatImages(base),
    family: base.spec.family,
    ...(isPaired && { fills: head.fills }),
    ...(source && { start_id: source.start_id }),
    vocab_size,
    has_types: (embedding.types?.rows ?? 0) > 1,
    max_positions: positionsOf(base.spec),
  };
}
