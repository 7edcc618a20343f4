import { prepareData, type PreparedData } from '../../data/dataset/prepare';
import { contentOf, imagesOf } from '../../data/chat/chat';
import type { Chat, ChatVariables, ContentPart, Message } from '../../data/chat/chat';
import type { SampleAnswer, SampleRow } from '../../data/examples/sampleRows';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import { LoraError } from '../../shared/errors';
import { exactText } from '../../shared/exactText';
import { variablesIn } from '../../shared/chatVariables';
import { writesText } from '../../shared/task';
import type { FileFingerprint, RunRecord } from '../../shared/run';
import {
  fitInMessage,
  MOST_IMAGE_CHARACTERS,
  MOST_PROMPT_IMAGES,
  type RowQuestion,
} from '../../shared/serveProtocol';
import { dataToolsOf } from '../../data/dataset/dataTools';
import { readRecord } from '../run/runFolder';
import { withImagesBefore } from './conversation';
import { openForTraining } from '../training/open';
import { rowPrompt } from '../training/samples';

/** A row of the run as it was trained, up to its answer. */
interface TrainedRow {
  readonly row: SampleRow;
  readonly answer: SampleAnswer;
}

/**
 * The rows that a run was validated on, or trained on if it had none to validate: read as the run
 * read them, when they are first asked for.
 */
export class RunRows {
  private opened: Promise<OpenedRows> | undefined;

  /** @param runDir The folder of the run. */
  constructor(private readonly runDir: string) {}

  /**
   * The question of a row and the answer that it teaches.
   *
   * @throws LoraError where the run or its dataset cannot be read, or has no such row
   */
  async question(index: number, tokenizer: Tokenizer): Promise<RowQuestion> {
    const { data, changed } = await this.open();
    const { row, answer } = await rowAt(data, index);
    const { before = [], expected = '' } = rowPrompt(row, answer, tokenizer).facts;
    const images = imagesOf(placedMessages(answer).slice(-1));
    checkAskable(row.line, images);
    const first = answer.before[0];
    const system = first?.role === 'system' ? contentOf(first) : '';
    return {
      index,
      count: data.shown_rows.length,
      line: row.line,
      system,
      before: before.filter(({ role }) => role !== 'system'),
      prompt: row.text,
      expected,
      tools: toolsText(answer.variables),
      images,
      changed,
    };
  }

  /**
   * The conversation of a row with another system message ('': none), question and images. `given`:
   * further variables, and other tools.
   *
   * @throws LoraError where the row cannot be read
   */
  async chat(
    index: number,
    {
      system,
      prompt,
      images,
    }: { readonly system: string; readonly prompt: string; readonly images: readonly string[] },
    given: ChatVariables,
  ): Promise<Chat> {
    const { data } = await this.open();
    const { answer } = await rowAt(data, index);
    const messages = placedMessages(answer);
    const asked = answer.asked ? (messages.at(-1) ?? null) : null;
    const turns = messages
      .slice(0, answer.before.length)
      .filter(({ role }, i) => i > 0 || role !== 'system');
    const head: readonly Message[] =
      system.trim() === '' ? [] : [{ role: 'system', content: system }];
    const content = askedContent(asked, prompt, images);
    return {
      messages: [...head, ...turns, { role: 'user', ...asked, content }],
      variables: {
        ...given,
        ...answer.variables,
        ...('tools' in given && { tools: given['tools'] }),
      },
    };
  }

  async close(): Promise<void> {
    const opened = await this.opened?.catch(() => undefined);
    opened?.data.close();
  }

  private open(): Promise<OpenedRows> {
    this.opened ??= openRows(this.runDir);
    return this.opened;
  }
}

/** @throws LoraError('usage') where the images of a row's question are too many or too large */
function checkAskable(line: number, images: readonly string[]): void {
  if (images.length > MOST_PROMPT_IMAGES)
    throw new LoraError(
      'usage',
      `Row ${line} has ${images.length} images, but at most ${MOST_PROMPT_IMAGES} can be asked about here.`,
    );
  if (!fitInMessage(images))
    throw new LoraError(
      'usage',
      `The images within row ${line} have more than ${MOST_IMAGE_CHARACTERS} characters together, so that it cannot be asked about here.`,
      { fix: 'Write the images to files, and name these in the row.' },
    );
}

/** The messages up to the one that is answered, with the absolute paths of their images. */
function placedMessages({ before, asked, images }: SampleAnswer): readonly Message[] {
  const files = (images?.placed ?? []).map(({ file }) => file);
  let next = 0;
  const placed = (part: ContentPart): ContentPart =>
    part.type === 'image' ? { ...part, image: files[next++] ?? part.image } : part;
  return [...before, ...(asked ? [asked] : [])].map((message) =>
    Array.isArray(message.content)
      ? { ...message, content: (message.content as readonly ContentPart[]).map(placed) }
      : message,
  );
}

/**
 * The content of a row's question with another text and other images. Images that are the row's own
 * stay where they are in it, unless several texts are around them and have changed.
 */
function askedContent(
  asked: Message | null,
  prompt: string,
  images: readonly string[],
): NonNullable<Message['content']> {
  const { content = '' } = asked ?? {};
  const isSame =
    typeof content !== 'string' && imagesOf(asked ? [asked] : []).join('\n') === images.join('\n');
  if (!isSame) return withImagesBefore(prompt, images);
  if (contentOf({ content }) === prompt) return content;
  const texts = content.filter(({ type }) => type === 'text');
  if (texts.length !== 1) return withImagesBefore(prompt, images);
  return content.map((part) => (part.type === 'text' ? { ...part, text: prompt } : part));
}

/** The tools of a row as JSON; '' for none. */
const toolsText = ({ tools }: ChatVariables): string =>
  Array.isArray(tools) ? exactText(tools, 2) : '';

interface OpenedRows {
  readonly data: PreparedData;
  /** Whether the dataset is another than the run has read. */
  readonly changed: boolean;
}

async function openRows(runDir: string): Promise<OpenedRows> {
  const record = await readRecord(runDir);
  const { recipe } = record;
  if (!writesText(recipe.task))
    throw new LoraError('usage', `A model for the task ${recipe.task} cannot generate text.`);
  const { base, read } = await openForTraining(recipe);
  try {
    const now = new Date(record.created);
    const chat_template_kwargs = variablesIn(recipe.chat_template_kwargs) ?? {};
    const tools = await dataToolsOf(base, { now, chat_template_kwargs });
    const data = await prepareData(read, recipe, tools);
    return { data, changed: hasChanged(data.fingerprint, record) };
  } finally {
    await base.close();
  }
}

function hasChanged(now: readonly FileFingerprint[], { data }: RunRecord): boolean {
  const known = data?.fingerprint ?? [];
  const hashes = (files: readonly FileFingerprint[]) => files.map(({ sha256 }) => sha256).join();
  return known.length > 0 && hashes(known) !== hashes(now);
}

async function rowAt({ shown_rows }: PreparedData, index: number): Promise<TrainedRow> {
  const row = index < shown_rows.length ? await shown_rows.at(index) : null;
  if (!row?.answer) throw new LoraError('usage', `The dataset of the run has no row ${index + 1}.`);
  return { row, answer: row.answer };
}
