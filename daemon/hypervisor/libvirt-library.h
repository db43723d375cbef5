/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libvirt itself, loaded when it is first needed: it brings fifty other libraries along, which take most of the time that
 * a program needs to start, and the helpers of gpuvfd, one for each GPU, are the same file and never call it.  Whoever
 * calls libvirt includes this header, and calls virDomainGetID() as vir.DomainGetID(). */
#pragma once

#include <libvirt/libvirt-qemu.h>
#include <libvirt/virterror.h>

/* All that is called, without "vir". */
#define LIBVIRT_FUNCTIONS(X) \
	X(ConnectClose) \
	X(ConnectDomainEventDeregisterAny) \
	X(ConnectDomainEventRegisterAny) \
	X(ConnectGetLibVersion) \
	X(ConnectGetVersion) \
	X(ConnectIsAlive) \
	X(ConnectListAllDomains) \
	X(ConnectOpen) \
	X(ConnectOpenReadOnly) \
	X(ConnectRef) \
	X(ConnectRegisterCloseCallback) \
	X(ConnectSetKeepAlive) \
	X(ConnectUnregisterCloseCallback) \
	X(DomainAttachDeviceFlags) \
	X(DomainCreate) \
	X(DomainDestroy) \
	X(DomainDetachDeviceAlias) \
	X(DomainDetachDeviceFlags) \
	X(DomainFree) \
	X(DomainGetID) \
	X(DomainGetName) \
	X(DomainGetState) \
	X(DomainGetUUIDString) \
	X(DomainGetXMLDesc) \
	X(DomainHasManagedSaveImage) \
	X(DomainIsActive) \
	X(DomainIsPersistent) \
	X(DomainLookupByUUIDString) \
	X(DomainMemoryStats) \
	X(DomainSetMetadata) \
	X(DomainShutdownFlags) \
	X(EventRegisterDefaultImpl) \
	X(EventRunDefaultImpl) \
	X(GetLastError) \
	X(GetLastErrorMessage) \
	X(Initialize) \
	X(ResetLastError) \
	X(SetErrorFunc)

/* Of libvirt's library for QEMU. */
#define LIBVIRT_QEMU_FUNCTIONS(X) X(DomainQemuAgentCommand)

struct libvirt_library {
#define MEMBER(name) __typeof__(vir##name) *name;
	LIBVIRT_FUNCTIONS(MEMBER)
	LIBVIRT_QEMU_FUNCTIONS(MEMBER)
#undef MEMBER
};

/* All NULL until libvirt_library_load() has succeeded. */
extern struct libvirt_library vir;

/* Once for the process, however often and from whichever thread.  Returns 0, or -ELIBACC with *ret_error (new): what
 * cannot be loaded, and the way out. */
int libvirt_library_load(char **ret_error);

/* The same from files of other names, into another table, for tests.  After an error the table is as it was. */
int libvirt_library_load_from(const char *name, const char *qemu_name, struct libvirt_library *ret, char **ret_error);

static inline void libvirt_domain_freep(virDomainPtr *domain)
{
	if (*domain)
		vir.DomainFree(*domain);
}

static inline void libvirt_connection_closep(virConnectPtr *connection)
{
	if (*connection)
		vir.ConnectClose(*connection);
}
