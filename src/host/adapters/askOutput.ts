import path from 'node:path';
import * as vscode from 'vscode';
import { pathExists } from '../../common/fileStatus';
import { fileName } from '../text/fileName';
import { t } from '../text/l10n';
import { askText } from '../ui/inputs';

/** What to ask about the output of a job. */
export interface OutputQuestion {
  readonly title: string;
  /** The suggested name, without extension. */
  readonly stem: string;
  /** The file's extension, with its dot; empty for a folder. */
  readonly ending: string;
  /** The suggested place is beside this path when no folder is open. */
  readonly beside: string;
}

/** Asks for an absolute path that doesn't exist yet. Undefined: cancelled. */
export async function askOutput({
  title,
  stem,
  ending,
  beside,
}: OutputQuestion): Promise<string | undefined> {
  const [root] = vscode.workspace.workspaceFolders ?? [];
  const folder = root?.uri.fsPath ?? path.dirname(beside);
  const value = await freeName(folder, fileName(stem), ending);
  return askText({
    title,
    value,
    valueSelection: [folder.length + 1, value.length - ending.length],
    prompt:
      ending === ''
        ? t('A new folder. Existing files are not changed.')
        : t('A new file. Existing files are not changed.'),
    validate: async (typed) => {
      if (!path.isAbsolute(typed)) return t('Enter an absolute path.');
      if (!typed.endsWith(ending)) return t('The name must end with {0}.', ending);
      return (await pathExists(typed)) ? t('{0} already exists.', path.basename(typed)) : undefined;
    },
  });
}

async function freeName(folder: string, stem: string, ending: string): Promise<string> {
  for (let n = 1; ; n++) {
    const name = path.join(folder, `${n === 1 ? stem : `${stem}-${n}`}${ending}`);
    if (!(await pathExists(name))) return name;
  }
}
