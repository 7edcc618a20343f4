import * as vscode from 'vscode';
import { chooseAdapter } from '../adapters/chooseAdapter';
import type { Disposable } from '../../common/signal';
import { COMMANDS } from '../commands/commandTable';
import { CHAT_VENDOR } from '../manifest/ids';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { notify } from '../ui/messages';
import { ChatModels } from './chatModels';
import { hasChatModels, registerProvider } from './providerApi';

/** The adapters of finished runs in the chat's model picker. */
export function registerChatModels(services: Services): vscode.Disposable {
  const { commands, inspections, log, modelServer: server, store, writers } = services;
  const changed = new vscode.EventEmitter<void>();
  const onTrust = vscode.workspace.onDidGrantWorkspaceTrust(() => changed.fire());
  const models = new ChatModels({
    writers,
    inspections,
    server,
    log: (message) => log.warn(message),
    onDidChange: changed.event,
  });
  return vscode.Disposable.from(
    changed,
    onTrust,
    onFinishedRuns(services, () => changed.fire()),
    registerProvider(CHAT_VENDOR, models),
    commands.add(COMMANDS.chatWithAdapter, async (argument) => {
      if (!hasChatModels()) {
        await vscode.commands.executeCommand(COMMANDS.startServer.id, argument);
        return;
      }
      const adapter = await chooseAdapter(store, argument, t('Select an adapter to chat with'));
      if (adapter !== undefined) await openChat(adapter);
    }),
  );
}

/** Opens the chat with the model of an adapter, where the editor can choose it. */
async function openChat(adapter: string): Promise<void> {
  const [model] = await vscode.lm.selectChatModels({ vendor: CHAT_VENDOR, id: adapter });
  if (!model) {
    const message = t(
      'The chat offers the adapters of finished runs in this workspace whose base has a chat template.',
    );
    await notify('information', message);
    return;
  }
  const modelSelector = { vendor: CHAT_VENDOR, id: adapter };
  await vscode.commands.executeCommand('workbench.action.chat.open', { modelSelector });
}

/** Calls back when another run has finished, or is gone. */
function onFinishedRuns({ store }: Pick<Services, 'store'>, act: () => void): Disposable {
  const placesOf = () => store.runs.map(({ adapter, model, name }) => [adapter, model, name]);
  let last = JSON.stringify(placesOf());
  return store.onDidChange(() => {
    const now = JSON.stringify(placesOf());
    if (now === last) return;
    last = now;
    act();
  });
}
