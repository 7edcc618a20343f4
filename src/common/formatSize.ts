/**
 * A number of bytes as English text in decimal units: "12 MB" (rounded up) or "1.2 GB". For the
 * command line and error messages; the extension's pages use their localized formatBytes.
 */
export function formatSize(bytes: number): string {
  return bytes < 1e9 ? `${Math.ceil(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
