/* Does to every process of this name what Windows does when its console is closed: close-console.exe NAME.
 *
 * The handlers of console events run on a new thread in that process. When they have returned, or after five seconds, it is ended.
 * Wine never does this by itself; it has the function that runs the handlers. */
#include <windows.h>
#include <stdio.h>
#include <tlhelp32.h>

/* What Wine's function returns. */
#define RETURNED 1

int main(int count, char **arguments)
{
    PROCESSENTRY32 entry = { .dwSize = sizeof(entry) };
    HANDLE all = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    LPTHREAD_START_ROUTINE handlers = (void *)GetProcAddress(GetModuleHandle("kernelbase.dll"), "CtrlRoutine");
    DWORD returned;
    int found = 0;
    if (count != 2 || !handlers)
        return 2;
    for (BOOL more = Process32First(all, &entry); more; more = Process32Next(all, &entry)) {
        HANDLE process, thread;
        if (lstrcmpi(entry.szExeFile, arguments[1]))
            continue;
        process = OpenProcess(PROCESS_ALL_ACCESS, FALSE, entry.th32ProcessID);
        thread = CreateRemoteThread(process, NULL, 0, handlers, (void *)CTRL_CLOSE_EVENT, 0, NULL);
        if (!thread)
            return 1;
        /* The thread also ends with a process that ends by itself, and has its exit code then. */
        WaitForSingleObject(thread, 5000);
        if (!GetExitCodeThread(thread, &returned) || returned == RETURNED || returned == STILL_ACTIVE)
            TerminateProcess(process, STATUS_CONTROL_C_EXIT);
        found++;
    }
    printf("%d closed\n", found);
    return found ? 0 : 1;
}
