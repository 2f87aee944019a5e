// A starter among many, for the test of the lock: at each cue it takes the lock, and says what it got.
import { writeSync } from 'node:fs';
import { takeLock } from '../../src/files/lock.ts';

const [path] = process.argv.slice(2);
writeSync(1, 'ready\n');
process.stdin.on('data', () => {
  const outcome = takeLock(path ?? '', process.platform);
  writeSync(1, outcome.kind === 'taken' ? 'taken\n' : `held ${outcome.pid}\n`);
});
// Lives until it is killed: a lock ends with its process.
setInterval(() => undefined, 60_000);
