import path from 'node:path';
import * as vscode from 'vscode';
import { listFolder } from '../../common/regularFile';
import { asDataPageState } from '../../shared/pages/data/protocol';
import { COMMANDS } from '../commands/commandTable';
import { inspectionOptions } from '../inspection/inspectionOptions';
import { VIEWS } from '../manifest/ids';
import type { Services } from '../services';
import { chooseBasePath } from '../train/chooseBasePath';
import { panelHost } from '../webview/panelHost';
import { PanelSet } from '../webview/panelSet';
import { DataPanel, type DataPanelOptions } from './dataPanel';
import { chooseSubject } from './chooseSubject';
import type { DataSubject } from './subject';

/** The Data page: the rows of a dataset, to be looked at, searched, edited and excluded. */
export function registerDataPage(services: Services): vscode.Disposable {
  const { commands } = services;
  const options = optionsOf(services);
  const panels = new PanelSet<DataSubject, DataPanel>({
    view: VIEWS.data,
    keyOf: ({ file }) => file,
    subjectOf: asDataPageState,
    make: (panel, subject) => new DataPanel(panel, subject, options),
  });
  return vscode.Disposable.from(
    panels,
    commands.add(COMMANDS.openDataset, async (argument) => {
      const subject = await chooseSubject(argument, services);
      if (subject) panels.show(subject);
    }),
  );
}

function optionsOf(services: Services): DataPanelOptions {
  const { context, errors, inspections, log } = services;
  const { extensionUri } = context;
  return {
    ...panelHost({ extensionUri, errors, log }, 'dataset'),
    inspection: inspectionOptions(context),
    chooseBase: () => chooseBasePath(services),
    validationOf: async (file) => {
      const entries = await listFolder(path.dirname(file)).catch(() => []);
      const siblings = entries.map(({ name }) => name);
      const { validation } = await inspections.ask('dataset', { file, siblings });
      return validation === file ? null : validation;
    },
  };
}
