import * as vscode from 'vscode';
import { COMMANDS } from '../commands/commandTable';
import { SETTINGS } from '../manifest/ids';
import type { Services } from '../services';
import type { Writer } from '../server/writers';
import { t } from '../text/l10n';
import { pickRow } from '../ui/inputs';
import { LanguageStatus } from '../ui/languageStatus';
import { notify } from '../ui/messages';
import { chosenModel, isOnFor, settingOf } from './chosenModel';
import { Completions, type CompletionState } from './completions';

const settings = () => vscode.workspace.getConfiguration();
const languages = (): readonly string[] =>
  settings().get<readonly string[]>(SETTINGS.completionLanguages, []);
const folders = (): readonly string[] =>
  (vscode.workspace.workspaceFolders ?? []).map(({ uri }) => uri.fsPath);

/** Completion at the cursor by an adapter, in the languages for which it is on. */
export function registerCompletion(services: Services): vscode.Disposable {
  const { commands, inspections, modelServer: server, store, writers } = services;
  const { id, title } = { id: COMMANDS.chooseCompletionModel.id, title: t('Choose Model') };
  const status = new LanguageStatus('lora.completion', t('LoRA completion'), {
    command: id,
    title,
  });
  let known: Promise<readonly Writer[]> | undefined;
  const model = async (): Promise<Writer | undefined> =>
    chosenModel(
      settings().get(SETTINGS.completionModel, ''),
      await (known ??= writers()),
      folders(),
    );
  const show = (state: CompletionState) => status.show(statusOf(state));
  const completions = new Completions({ inspections, server, model, onState: show });
  let registered: vscode.Disposable | undefined;
  const follow = () => {
    registered?.dispose();
    const on = vscode.workspace.isTrusted ? languages() : [];
    const selector: vscode.DocumentFilter[] = on.map((language) => ({ language }));
    status.showFor(selector);
    show({ kind: 'noModel' });
    registered =
      on.length === 0
        ? undefined
        : vscode.languages.registerInlineCompletionItemProvider(selector, completions);
  };
  follow();
  return vscode.Disposable.from(
    status,
    completions,
    store.onDidChange(() => {
      known = undefined;
    }),
    {
      dispose: () => {
        registered?.dispose();
      },
    },
    vscode.workspace.onDidGrantWorkspaceTrust(follow),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration(SETTINGS.completionLanguages)) follow();
    }),
    commands.add(COMMANDS.chooseCompletionModel, async () => choose(await writers())),
  );
}

function statusOf(state: CompletionState) {
  switch (state.kind) {
    case 'noModel':
      return { text: t('LoRA completion'), detail: t('no model is chosen'), isBusy: false };
    case 'waiting':
      return { text: t('LoRA completion'), detail: state.model, isBusy: true };
    case 'answered': {
      const time = t('first token after {0} ms', Math.round(1000 * state.firstToken));
      return { text: t('LoRA completion'), detail: `${state.model}, ${time}`, isBusy: false };
    }
    case 'failed':
      return { text: t('LoRA completion'), detail: state.message, isBusy: false };
  }
}

/** Asks which model writes completions, and keeps it in the settings of the workspace. */
async function choose(writers: readonly Writer[]): Promise<void> {
  if (writers.length === 0) {
    await notify('information', t('There is no finished run yet that has trained on text.'));
    return;
  }
  const rows = writers.map((writer) => ({
    label: writer.name,
    description: writer.adapter === null ? '' : writer.base_name,
    writer,
  }));
  const chosen = await pickRow(rows, {
    placeHolder: t('Select the model that completes code'),
    matchOnDescription: true,
  });
  if (!chosen) return;
  const value = settingOf(chosen.writer, folders());
  await settings().update(SETTINGS.completionModel, value, vscode.ConfigurationTarget.Workspace);
  await offerLanguage();
}

/** Offers to turn completion on for the language of the file that is open. */
async function offerLanguage(): Promise<void> {
  const language = vscode.window.activeTextEditor?.document.languageId;
  if (language === undefined || isOnFor(language, languages())) return;
  const [on, change] = [t('Turn On for {0}', language), t('Change Setting')];
  const message = t('Completion is off for {0}.', language);
  const answer = await notify('information', message, [on, change]);
  if (answer === on)
    await settings().update(
      SETTINGS.completionLanguages,
      [...languages(), language],
      vscode.ConfigurationTarget.Workspace,
    );
  if (answer === change)
    await vscode.commands.executeCommand(
      'workbench.action.openSettings',
      SETTINGS.completionLanguages,
    );
}
