// The control socket: its frames in any pieces, the schema of its requests, and the files of the state that are JSON.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAllowed } from '../../src/config/consent.ts';
import { readAddress } from '../../src/control/address.ts';
import { createDecoder, encodeMessage } from '../../src/control/framing.ts';
import { parseRequest, requestId } from '../../src/control/requests.ts';
import { readWanted } from '../../src/control/wanted.ts';
import { openSeenFile } from '../../src/trust/seen.ts';
import { corpusOf, inherited, sameInPieces, tunnelFailure, typed, type Target } from '../target.ts';

const mismatch = tunnelFailure('DAEMON_MISMATCH');
const words = [
  ...inherited.map((name) => `"${name}":{"polluted":true},`),
  '{"id":1,"method":"',
  '"params":{',
  '"selectors":[]',
  '"timeoutMs":1e308',
  'null',
  '[[[[',
  '}',
  '\n',
  '\ufeff',
  '"variables":{"__proto__":"x"}',
  '\\u0000',
  '-1',
  '1e999',
  '"status"',
  '"constructor"',
  '"hello"',
  '"protocol":1',
];

export const controlFrameTarget: Target = {
  name: 'control-frame',
  corpus: corpusOf('fuzz/control'),
  words,
  check(bytes) {
    let outcome = '';
    sameInPieces(bytes, (pieces) => {
      const messages: unknown[] = [];
      const decode = createDecoder((message) => messages.push(message), 2048);
      const end = typed(() => pieces.forEach((piece) => decode(piece)), mismatch) ?? 'ok';
      outcome = `${messages.length} ${end}`;
      return [messages, end];
    });
    return outcome;
  },
};

export const controlRequestTarget: Target = {
  name: 'control-request',
  corpus: corpusOf('fuzz/control'),
  words,
  check(bytes) {
    const outcomes: string[] = [];
    const decode = createDecoder((message) => {
      const id = requestId(message);
      assert(id === null || Number.isInteger(id));
      const request = typed(() => parseRequest(message), mismatch);
      if (typeof request !== 'string') {
        const again: unknown[] = [];
        createDecoder((same) => again.push(same))(Buffer.from(encodeMessage(request)));
        assert.deepEqual(parseRequest(again[0]), request);
        assert.equal(Reflect.get(request.params, 'polluted'), undefined);
      }
      outcomes.push(typeof request === 'string' ? request : request.method);
    });
    outcomes.push(typed(() => decode(bytes), mismatch) ?? 'ok');
    return outcomes.join();
  },
};

const folder = mkdtempSync(join(process.env['TUNNEL_TEST_ROOT'] ?? tmpdir(), 'fuzz-state-'));
const path = join(folder, 'allowed.json');

/** allowed.json, wanted.json, address.json and seen.json may hold anything: nothing is allowed that was not. */
export const stateFileTarget: Target = {
  name: 'state-file',
  corpus: corpusOf('fuzz/state'),
  words: [...words, '"files":{', '"names":[', '"ports":{', '"keys":[', '"version":1', '"digest":"d"'],
  async check(bytes) {
    writeFileSync(path, bytes, { mode: 0o600 });
    for (const name of inherited)
      if (!bytes.includes(name)) assert.equal(isAllowed(folder, name, 'd'), false);
    if (!bytes.includes('/x')) assert.equal(isAllowed(folder, '/x', 'd'), false);
    const wanted = readWanted(path, () => undefined);
    assert(wanted.names.every((name) => typeof name === 'string'));
    assert(Object.values(wanted.ports).every(Number.isInteger));
    writeFileSync(path, bytes, { mode: 0o600 });
    const address = readAddress(path);
    const seen = await openSeenFile(path).read();
    rmSync(`${path}.broken`, { force: true });
    return `${wanted.names.length} ${Object.keys(wanted.ports).length} ${address === null} ${seen.length}`;
  },
};
