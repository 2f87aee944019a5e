// The kernel's table of TCP sockets.
import { expect, test } from 'vitest';
import { parseTcpTable } from '../../src/model/tcp-table.ts';

test('the kernel table is read without trust', () => {
  const text = [
    '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
    '   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0 100 0 0 10 0',
    'nonsense',
    '',
  ].join('\n');
  expect(parseTcpTable(text)).toEqual([
    { address: '0100007F', port: 5432, remotePort: 0, state: 10, inode: '4242' },
  ]);
});
