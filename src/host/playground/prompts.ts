import path from 'node:path';
import * as v from 'valibot';
import { replaceFile } from '../../common/atomicWrite';
import { writeErrorReason } from '../../common/fileStatus';
import { makeFolder } from '../../common/makeFolder';
import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';
import { readJson } from '../files/readJson';

const PROMPTS_FILE = '.lora/prompts.json';
const KEPT = 50;

const PromptsSchema = v.array(v.string());
const fileIn = (folder: string) => path.join(folder, PROMPTS_FILE);

/**
 * The earlier prompts, the newest first, from a file in the workspace that can be edited and
 * shared. Empty when it doesn't exist or cannot be read.
 */
export async function readPrompts(folder: string): Promise<readonly string[]> {
  return readJson(fileIn(folder), PromptsSchema, []).catch(() => []);
}

/**
 * Adds a prompt as the newest; returns all.
 *
 * @throws LoraError('disk') when they cannot be written, or the existing file cannot be read and
 *   would be lost.
 */
export async function keepPrompt(folder: string, prompt: string): Promise<readonly string[]> {
  const file = fileIn(folder);
  const prompts = [
    prompt,
    ...(await readJson(file, PromptsSchema, [])).filter((other) => other !== prompt),
  ].slice(0, KEPT);
  const describeFailure = (reason: string) => ({
    message: t('The prompts cannot be written: {0}.', reason),
  });
  await makeFolder(path.dirname(file)).catch((cause: unknown) => {
    const { message } = describeFailure(writeErrorReason(cause));
    throw new LoraError('disk', message, { place: { file }, cause });
  });
  await replaceFile(file, `${JSON.stringify(prompts, null, 2)}\n`, describeFailure);
  return prompts;
}
