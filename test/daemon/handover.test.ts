// The parts of a replacement that no run of two supervisors shows for certain: what waits in the pipe, and what is refused at once.
import { EventEmitter } from 'node:events';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SupervisorLock } from '../../src/daemon/claim.ts';
import {
  handoverFormat,
  openHandoverPipe,
  type FromNew,
  type FromOld,
  type HandoverPipe,
} from '../../src/daemon/handover-messages.ts';
import { checkProgram } from '../../src/daemon/handover.ts';
import { goOn, receivePredecessor } from '../../src/daemon/predecessor.ts';
import { processFacts } from '../../src/files/process-facts.ts';
import type { SupervisorPlaces } from '../../src/paths.ts';
import { temporaryFolder } from '../helpers/folder.ts';

class PipeEnd extends EventEmitter {
  connected = true;
  readonly sent: object[] = [];
  send(message: object): boolean {
    this.sent.push(message);
    return true;
  }
  cut(): void {
    this.connected = false;
    this.emit('disconnect');
  }
}

interface Ends {
  readonly end: PipeEnd;
  readonly pipe: HandoverPipe<FromOld, FromNew>;
}

function openPipe(): Ends {
  const end = new PipeEnd();
  return { end, pipe: openHandoverPipe<FromOld, FromNew>(end) };
}

describe('the pipe of a replacement', () => {
  test('keeps what comes before anybody listens, and between two who do, in its order', () => {
    const { end, pipe } = openPipe();
    const heard: unknown[] = [];
    const listener = (message: FromOld): void => void heard.push(message);
    end.emit('message', 1);
    end.emit('message', 2);
    pipe.listen(listener, () => undefined);
    end.emit('message', 3);
    pipe.keep();
    end.emit('message', 4);
    expect(heard).toEqual([1, 2, 3]);
    pipe.listen(listener, () => undefined);
    expect(heard).toEqual([1, 2, 3, 4]);
  });

  test('tells of its end whoever listens then, and whoever comes later, behind what had come before', () => {
    const { end, pipe } = openPipe();
    const heard: unknown[] = [];
    pipe.listen(
      () => undefined,
      () => void heard.push('gone'),
    );
    pipe.keep();
    end.emit('message', 'last');
    end.cut();
    expect(heard).toEqual([]);
    pipe.listen(
      (message) => void heard.push(message),
      () => void heard.push('gone, too'),
    );
    expect(heard).toEqual(['last', 'gone, too']);
    pipe.send({ kind: 'ready' });
    expect(end.sent).toEqual([]);
  });
});

test.each([
  ['tunnel.js', 'is no absolute path'],
  [join(temporaryFolder('none'), 'tunnel.js'), 'cannot be found'],
])('a supervisor starts no program %s in its place', (path, why) => {
  expect(() => checkProgram([process.execPath, path], processFacts())).toThrow(`${path} ${why}`);
});

test('a supervisor starts no program in its place that everybody can write, nor a node of that kind', () => {
  const path = join(temporaryFolder('open'), 'tunnel.js');
  writeFileSync(path, '');
  chmodSync(path, 0o602);
  for (const words of [
    [path, process.execPath],
    [process.execPath, path],
  ])
    expect(() => checkProgram(words, processFacts())).toThrow(`${path} can be written by everybody`);
});

test('a new supervisor touches nothing where the lock is not that of the old one any more', async () => {
  const facts = processFacts();
  const folder = temporaryFolder('lock');
  const at = { lock: join(folder, 'lock') } as SupervisorPlaces;
  const another = new SupervisorLock(at, facts);
  expect(another.take().kind).toBe('taken');
  const { end, pipe } = openPipe();
  const received = receivePredecessor(pipe);
  const nothing = { tunnels: [], listeners: [], attended: [], passwords: [], passphrases: [], restoring: [] };
  const state = { ...nothing, format: handoverFormat, version: '0', pid: 1, readings: [], lock: 'another' };
  end.emit('message', { kind: 'state', state });
  const engine = new Proxy({}, { get: () => expect.unreachable('the engine was touched') });
  const parts = { engine, lock: new SupervisorLock(at, facts), log: {} } as never;
  const predecessor = await received;
  expect(() => goOn(predecessor, parts)).toThrow('has lost its lock');
  expect(end.sent).toEqual([]);
  another.release();
});
