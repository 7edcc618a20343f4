import { expect, it } from 'vitest';
import { INITIAL_STATE, reduceInspect, type FileMessage } from '../../../../webview/inspect/state';

const file: FileMessage = {
  kind: 'file',
  name: 'adapter_model.safetensors',
  format: 'safetensors',
  bytes: 8,
  metadata: [],
  tensors: [],
};

it('keeps what is said of an adapter until its file is read again', () => {
  const read = reduceInspect(INITIAL_STATE, file);
  expect(read.findings).toEqual([]);
  const told = reduceInspect(read, { kind: 'findings', findings: ['The update is zero.'] });
  expect(told).toMatchObject({ file, findings: ['The update is zero.'] });
  expect(reduceInspect(told, file).findings).toEqual([]);
});
