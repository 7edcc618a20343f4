import { LoraError } from '../../shared/errors';

/** The address of the hub: HF_ENDPOINT, without a slash at its end. */
export const hubEndpoint = (): string =>
  (process.env['HF_ENDPOINT'] ?? 'https://huggingface.co').replace(/\/+$/, '');

/** HF_TOKEN, for what is not public. @throws LoraError('usage') where it is no token */
export function hubToken(): string | null {
  const token = process.env['HF_TOKEN'] ?? '';
  if (token === '') {
    return null;
  }
  if (!token.startsWith('hf_')) {
    throw new LoraError('usage', 'HF_TOKEN is not an access token of the Hub.', {
      fix: 'Use a token from your Hub settings; it begins with hf_.',
    });
  }
  return token;
}
