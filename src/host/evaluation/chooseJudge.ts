import * as vscode from 'vscode';
import { t } from '../text/l10n';
import { askText, browse, pickRow, type PickRow } from '../ui/inputs';
import { confirm } from '../ui/messages';
import { askEndpoint } from './chooseColumns';
import { JudgeServer } from './judgeServer';

/** A judge for `lora evaluate`, until it is disposed. */
export interface ChosenJudge {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  dispose(): void;
}

/** Holds the key of a judge, as --judge-key-env says by default: other users see arguments. */
const KEY_VARIABLE = 'LORA_JUDGE_KEY';

interface JudgeRow extends PickRow {
  /** Null: an endpoint. */
  readonly model: vscode.LanguageModelChat | null;
}

/**
 * Asks who compares answers: a chat model of the editor, or an endpoint; and by which prompt.
 * Undefined: cancelled.
 */
export async function chooseJudge(): Promise<ChosenJudge | undefined> {
  const models = await vscode.lm.selectChatModels();
  const rows: JudgeRow[] = [
    ...models.map((model) => ({
      label: model.name,
      description: model.vendor,
      icon: 'comment-discussion',
      model,
    })),
    {
      label: t('Endpoint…'),
      description: t('an OpenAI-compatible server'),
      icon: 'globe',
      model: null,
    },
  ];
  const placeHolder = t('Select the model that compares answers');
  const chosen = await pickRow(rows, { title: t('Evaluate: Judge'), placeHolder });
  const prompt = chosen && (await choosePrompt());
  if (!chosen || !prompt) return undefined;
  return chosen.model === null ? judgeAtEndpoint(prompt) : judgeOfEditor(chosen.model, prompt);
}

/** --judge-prompt, or nothing for the usual one. Undefined: cancelled. */
async function choosePrompt(): Promise<readonly string[] | undefined> {
  const rows = [
    { label: t('Default prompt'), icon: 'note', isOwn: false },
    { label: t('Custom prompt…'), icon: 'file', isOwn: true },
  ];
  const placeHolder = t('Select the judge’s prompt');
  const chosen = await pickRow(rows, { title: t('Evaluate: Judge'), placeHolder });
  if (!chosen) return undefined;
  if (!chosen.isOwn) return [];
  const file = await browse('file', t('Prompt for the Judge'));
  return file === undefined ? undefined : ['--judge-prompt', file];
}

async function judgeAtEndpoint(prompt: readonly string[]): Promise<ChosenJudge | undefined> {
  const address = await askEndpoint(t('Evaluate: Judge'));
  if (address === undefined) return undefined;
  const key = await askText({
    title: t('Evaluate: Judge'),
    prompt: t('Key for the server; empty for none'),
    password: true,
  });
  if (key === undefined) return undefined;
  return {
    args: ['--judge', address, ...prompt],
    // empty, so that one in the environment is not sent there
    env: { [KEY_VARIABLE]: key },
    dispose: () => undefined,
  };
}

async function judgeOfEditor(
  model: vscode.LanguageModelChat,
  prompt: readonly string[],
): Promise<ChosenJudge | undefined> {
  const isAllowed = await confirm(
    t('Send questions and answers to {0}?', model.name),
    t('It compares each model’s answers with those of the first one, twice for each pair.'),
    t('Send'),
  );
  if (!isAllowed) return undefined;
  const server = await JudgeServer.start((text, token) => answerOf(model, text, token));
  return {
    args: ['--judge', `${server.url}#${model.id}`, ...prompt],
    env: { [KEY_VARIABLE]: server.key },
    dispose: () => server.dispose(),
  };
}

async function answerOf(
  model: vscode.LanguageModelChat,
  text: string,
  signal: AbortSignal,
): Promise<string> {
  const source = new vscode.CancellationTokenSource();
  const cancel = () => source.cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    const message = vscode.LanguageModelChatMessage.User(text);
    const answer = await model.sendRequest([message], {}, source.token);
    let whole = '';
    for await (const part of answer.text) whole += part;
    return whole;
  } finally {
    signal.removeEventListener('abort', cancel);
    source.dispose();
  }
}
