import path from 'node:path';
import { readTextFile, MAX_BYTES } from '../../common/regularFile';
import { fileErrorReason } from '../../common/fileStatus';
import { LoraError } from '../../shared/errors';
import { exactText } from '../../shared/exactText';
import { toolsIn } from '../../shared/tools';
import { t } from '../text/l10n';
import { askWhereToSave, browse } from '../ui/inputs';
import { choose } from '../ui/messages';

/** What rows are appended to a file for. */
export type RowKind = 'chats' | 'pairs';

const FILTERS = { JSONL: ['jsonl'] };

/** Asks for a .jsonl file to append rows to, a new or an existing one. Undefined: cancelled. */
export async function chooseRowsFile(kind: RowKind, folder: string): Promise<string | undefined> {
  const where = await choose(
    kind === 'pairs' ? t('Append the pair to a dataset') : t('Append the chat to a dataset'),
    t('Further rows of this playground go to the same file.'),
    { existing: t('Existing File…'), fresh: t('New File…') },
  );
  if (where === undefined) return undefined;
  if (where === 'existing') return browse('file', t('Dataset'), FILTERS);
  const target = await askWhereToSave(folder, `${kind}.jsonl`, FILTERS);
  return target?.fsPath;
}

/** Asks for a file of tools; returns them as JSON. Undefined: cancelled. @throws LoraError */
export async function chooseTools(): Promise<string | undefined> {
  const file = await browse('file', t('Tools'), { JSON: ['json'] });
  if (file === undefined) return undefined;
  const text = await readTextFile(file, { maxBytes: MAX_BYTES.writtenByPeople }).catch(
    (cause: unknown) => {
      throw new LoraError('usage', t('The file cannot be read: {0}.', fileErrorReason(cause)), {
        place: { file },
      });
    },
  );
  const tools = toolsIn(text.replace(/^\ufeff/, ''));
  if (tools) return exactText(tools, 2);
  throw new LoraError(
    'usage',
    t('{0} does not contain a JSON list of named tools.', path.basename(file)),
    { place: { file } },
  );
}
