import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import { t } from '../l10n';
import { writeWhole } from '../writeWhole';

const PROMPTS_FILE = '.lora/prompts.json';
const KEPT = 50;

const PromptsSchema = v.array(v.string());

/** The prompts that were asked before, the newest first: a file of the workspace, so that it can be edited and shared. Empty where there is none or it is damaged. */
export async function readPrompts(folder: string): Promise<readonly string[]> {
  try {
    return v.parse(PromptsSchema, JSON.parse(await readFile(path.join(folder, PROMPTS_FILE), 'utf8')));
  } catch {
    return [];
  }
}

/** Puts a prompt first. Errors: LoraError('disk'). */
export async function keepPrompt(folder: string, prompt: string): Promise<readonly string[]> {
  const prompts = [prompt, ...(await readPrompts(folder)).filter((other) => other !== prompt)].slice(0, KEPT);
  const file = path.join(folder, PROMPTS_FILE);
  await mkdir(path.dirname(file), { recursive: true });
  await writeWhole(file, `${JSON.stringify(prompts, null, 2)}\n`, (reason) => ({ message: t('The prompts cannot be written: {0}.', reason) }));
  return prompts;
}
