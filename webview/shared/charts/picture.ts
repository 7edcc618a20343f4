/** The content of a canvas on the page's background, as a PNG in a data URL. */
export function pictureOf(canvas: HTMLCanvasElement, background: string): string {
  const copy = document.createElement('canvas');
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const drawing = copy.getContext('2d')!;
  drawing.fillStyle = background;
  drawing.fillRect(0, 0, copy.width, copy.height);
  drawing.drawImage(canvas, 0, 0);
  return copy.toDataURL('image/png');
}
