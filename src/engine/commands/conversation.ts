import { fileErrorReason } from '../../common/fileStatus';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import type { Message } from '../../data/chat/chat';
import { quote } from '../../data/rows/describe';
import { readMessages } from '../../data/rows/messages';
import { RowReport } from '../../data/rows/rowReport';
import { ProblemCollector } from '../../data/dataset/problems';
import { LoraError, type Problem } from '../../shared/errors';
import { parseExactly } from '../../shared/exactJson';
import { repeatedKey } from '../../shared/repeatedKeys';
import { toolsIn } from '../../shared/tools';

/** The name of the list in messages about it. */
const LIST = 'messages';

/**
 * Reads a conversation that is to be answered: a JSON array of messages, as the "messages" of a row
 * in a dataset.
 *
 * @throws LoraError('dataset') where the file cannot be read, a message is wrong, or there is
 *   nothing to answer
 */
export async function readConversation(file: string): Promise<readonly Message[]> {
  const problems = new ProblemCollector(file);
  const value = await readJson(file, { what: LIST, example: '[{"role": "user", "content": "…"}]' });
  const messages = readMessages(value, LIST, new RowReport(problems, 1));
  if (!messages) throw asOne(file, problems.problems());
  const last = messages.at(-1);
  if (last === undefined) throw fault(file, 'The list of messages is empty.');
  if (last.role === 'assistant' || last.role === 'system')
    throw fault(
      file,
      `The last message has the role ${quote(last.role)}, so there is nothing to answer.`,
      'End the list with a message of the user, or with the result of a tool.',
    );
  return messages;
}

/** A conversation under a system message. @throws LoraError('usage') where it has one already */
export function withSystem(
  messages: readonly Message[],
  system: string | null,
): readonly Message[] {
  if (system === null) return messages;
  if (messages[0]?.role === 'system')
    throw new LoraError('usage', 'The messages begin with a system message already.', {
      fix: 'Leave out --system, or remove that message.',
    });
  return [{ role: 'system', content: system }, ...messages];
}

/** The tools of a file: a JSON array of functions with JSON schemas. @throws LoraError('usage') */
export async function readTools(file: string): Promise<readonly object[]> {
  const example = '[{"type": "function", "function": {"name": "…", "parameters": {…}}}]';
  const tools = toolsIn(await readJson(file, { what: 'tools', example }));
  if (tools) return tools;
  throw fault(file, 'The file is not a list of tools.', `Write a list such as ${example}.`);
}

/** The content of a JSON file, and an example of it. */
interface Wanted {
  readonly what: string;
  readonly example: string;
}

async function readJson(file: string, wanted: Wanted): Promise<unknown> {
  const text = await readTextFile(file, { maxBytes: MAX_BYTES.writtenByPeople }).catch(
    (cause: unknown) => {
      throw fault(file, `The ${wanted.what} cannot be read: ${fileErrorReason(cause)}.`);
    },
  );
  const json = text.replace(/^\ufeff/, '');
  const value = parseJson(json, file, wanted);
  const repeated = repeatedKey(json);
  if (repeated) throw fault(file, `The key "${repeated.path}" is duplicated.`, 'Remove one.');
  return value;
}

function parseJson(json: string, file: string, { what, example }: Wanted): unknown {
  try {
    return parseExactly(json);
  } catch (cause) {
    const why = cause instanceof RangeError ? 'it is nested too deeply' : (cause as Error).message;
    throw fault(
      file,
      `The ${what} are not valid JSON: ${why}.`,
      `Write a list such as ${example}.`,
    );
  }
}

/** The first error in the messages, which are no lines of a file. */
function asOne(file: string, problems: readonly Problem[]): LoraError {
  const wrong = problems.filter(({ severity }) => severity === 'error');
  const [first] = wrong;
  const key = first?.place?.key;
  return new LoraError('dataset', first?.message ?? 'The messages cannot be read.', {
    place: { file, ...(key !== undefined && { key }) },
  });
}

const fault = (file: string, message: string, fix?: string): LoraError =>
  new LoraError('dataset', message, { place: { file }, ...(fix !== undefined && { fix }) });
