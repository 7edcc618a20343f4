import path from 'node:path';
import * as vscode from 'vscode';
import {
  asConfigurePageMessage,
  asConfigurePageState,
} from '../../shared/pages/configure/protocol';
import { COMMANDS } from '../commands/commandTable';
import { VIEWS } from '../manifest/ids';
import { t } from '../text/l10n';
import { setTitle } from '../ui/panels';
import { openPlace } from '../editor/openPlace';
import { openPage, sender } from '../webview/page';
import type { PanelHost } from '../webview/panelHost';
import { PanelSet, type PanelPage } from '../webview/panelSet';
import { saveRecipe } from './editRecipe';
import { ConfigureSession, type ConfigureParts } from './configureSession';

/** What the pages need. */
export type ConfigurePanelOptions = PanelHost &
  ConfigureParts & {
    /** Asks for a base model, and writes it to a recipe. */
    readonly chooseBase: (recipe: string) => Promise<void>;
  };

/** The open pages, by the path of their recipe. */
export type ConfigurePanels = PanelSet<string, PanelPage>;

/** The pages that configure rank and targets, one for each recipe file. */
export const configurePanels = (options: ConfigurePanelOptions): ConfigurePanels =>
  new PanelSet({
    view: VIEWS.configure,
    subjectOf: (state) => asConfigurePageState(state)?.recipe,
    keyOf: (recipe) => recipe,
    make: (panel: vscode.WebviewPanel, recipe: string) => openConfigurePage(panel, recipe, options),
  });

function openConfigurePage(
  panel: vscode.WebviewPanel,
  recipe: string,
  options: ConfigurePanelOptions,
): PanelPage {
  const { webview } = panel;
  const session = new ConfigureSession(vscode.Uri.file(recipe), options, sender(panel));
  const reported = (done: Promise<void>) => done.catch((error: unknown) => options.report(error));
  const listener = webview.onDidReceiveMessage((value: unknown): unknown => {
    const message = asConfigurePageMessage(value);
    switch (message?.kind) {
      case 'ready':
        return reported(session.start());
      case 'preview':
        session.preview(message.settings, message.chosen);
        return undefined;
      case 'apply':
        return reported(session.apply(message.id, message.settings, message.chosen));
      case 'act':
        return reported(session.act(message.act));
      case 'openRecipe':
        return reported(openPlace({ file: recipe }));
      case 'save':
        return reported(saveRecipe(vscode.Uri.file(recipe)));
      case 'run':
        return vscode.commands.executeCommand(COMMANDS.runRecipe.id, vscode.Uri.file(recipe));
      case 'sweep':
        return vscode.commands.executeCommand(COMMANDS.sweepRanks.id, vscode.Uri.file(recipe));
      case 'chooseBase':
        return reported(options.chooseBase(recipe));
      case 'downloadBase':
        return vscode.commands.executeCommand(COMMANDS.downloadBase.id);
      case 'openGuide':
        return vscode.commands.executeCommand(
          'markdown.showPreview',
          vscode.Uri.joinPath(options.extensionUri, 'media', 'guide', 'rank.md'),
        );
      default:
        options.log(
          `Configure rank: ${message ? message.message : 'a message of the page was not understood'}`,
        );
        return undefined;
    }
  });
  setTitle(panel, t('Rank of {0}', path.basename(recipe)));
  openPage(webview, {
    extensionUri: options.extensionUri,
    page: 'configure',
    facts: { recipe },
  });
  return {
    panel,
    dispose: () => {
      listener.dispose();
      session.dispose();
    },
  };
}
