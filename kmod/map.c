// SPDX-License-Identifier: GPL-2.0
/* Memory that the kernel and programs share: allocation, charge, mapping. */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "compat.h"
#include "region.h"

/* Charge the user, and not the process as mlock(2) does: the memory may outlive the process. */
static int ronbus_region_charge(struct user_struct *user, unsigned long pages)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	long sum, old = atomic_long_read(&user->locked_vm);

	do {
		sum = old + pages;
		/* The capability last, since a refusal is written to the audit log. */
		if (sum > limit && !capable(CAP_IPC_LOCK))
			return -ENOMEM;
	} while (!atomic_long_try_cmpxchg(&user->locked_vm, &old, sum)); /* a sum: no partner */
	return 0;
}

static void ronbus_region_free_pages(struct ronbus_region *region)
{
	while (region->nr)
		__free_page(region->pages[--region->nr]);
	kvfree(region->pages);
}

static int ronbus_region_alloc_pages(struct ronbus_region *region, unsigned int nr)
{
	region->nr = 0;
	region->pages = kvcalloc(nr, sizeof(*region->pages), RONBUS_GFP);
	if (!region->pages)
		return -ENOMEM;

	while (region->nr < nr) {
		struct page *page = alloc_page(RONBUS_GFP | __GFP_ZERO);

		if (!page || fatal_signal_pending(current)) {
			if (page)
				__free_page(page);
			ronbus_region_free_pages(region);
			return -ENOMEM;
		}
		region->pages[region->nr++] = page;
	}
	return 0;
}

/*
 * Allocate a zeroed region of @bytes, rounded up to pages and charged to the current user. Return 0
 * or -ENOMEM; then, too, ronbus_region_free() may be called.
 */
int ronbus_region_alloc(struct ronbus_region *region, size_t bytes)
{
	unsigned int nr = DIV_ROUND_UP(bytes, PAGE_SIZE);
	struct user_struct *user = get_uid(current_user());
	int err;

	err = ronbus_region_charge(user, nr);
	if (err)
		goto err_user;
	err = ronbus_region_alloc_pages(region, nr);
	if (err)
		goto err_charge;
	region->addr = vmap(region->pages, nr, VM_MAP, PAGE_KERNEL);
	if (!region->addr) {
		err = -ENOMEM;
		goto err_pages;
	}
	region->user = user;
	return 0;

err_pages:
	ronbus_region_free_pages(region);
err_charge:
	atomic_long_sub(nr, &user->locked_vm);
err_user:
	free_uid(user);
	return err;
}

/* Take back the charge of a region that will be freed soon, unless it is zeroed. */
void ronbus_region_uncharge(struct ronbus_region *region)
{
	if (!region->user)
		return;
	atomic_long_sub(region->nr, &region->user->locked_vm);
	free_uid(region->user);
	region->user = NULL;
}

/* Free a region, unless it is zeroed, and take back its charge. */
void ronbus_region_free(struct ronbus_region *region)
{
	if (!region->addr)
		return;
	ronbus_region_uncharge(region);
	vunmap(region->addr);
	region->addr = NULL;
	ronbus_region_free_pages(region);
}

/* The length of a region's mapping. */
size_t ronbus_region_bytes(const struct ronbus_region *region)
{
	return (size_t)region->nr << PAGE_SHIFT;
}

/* A mapping stays in one piece, where it was made. */
int ronbus_vm_may_split(struct vm_area_struct *vma, unsigned long addr)
{
	return -EINVAL;
}

int ronbus_vm_mremap(struct vm_area_struct *vma)
{
	return -EINVAL;
}

/*
 * Let a debugger read a mapping, which it can do in no other way. Writing is refused: the program
 * can do that itself. Return how many bytes were read, or -EACCES.
 */
int ronbus_vm_access(struct vm_area_struct *vma, unsigned long addr, void *buf, int len, int write)
{
	const struct ronbus_region *region = vma->vm_private_data;
	size_t at = addr - vma->vm_start;
	int i;

	if (write)
		return -EACCES;
	len = min_t(size_t, len, ronbus_region_bytes(region) - at);
	for (i = 0; i < len; i++)
		((char *)buf)[i] = READ_ONCE(((const char *)region->addr)[at + i]);
	return len;
}

static const struct vm_operations_struct ronbus_vm_ops = {
	.may_split = ronbus_vm_may_split,
	.mremap = ronbus_vm_mremap,
	.access = ronbus_vm_access,
};

/*
 * Pages are mapped by number, without a struct page, so that the kernel cannot take a reference to
 * one by its address in the program. A page that is pinned, for io_uring or for a pipe, could be
 * written when the mapping and the fd that it was made from are long gone.
 */
static int ronbus_region_insert_pages(const struct ronbus_region *region,
				      struct vm_area_struct *vma)
{
	unsigned long addr = vma->vm_start;
	unsigned int i;

	for (i = 0; i < region->nr; i++, addr += PAGE_SIZE)
		if (vmf_insert_pfn(vma, addr, page_to_pfn(region->pages[i])) != VM_FAULT_NOPAGE)
			return -ENOMEM;
	return 0;
}

/*
 * Map a region into a program, which may write if it is @writable. VM_MAYWRITE is taken away where
 * writing is refused, so that mprotect(2) cannot bring it back. A child does not inherit the
 * mapping: the death of its parent has to be seen, and two readers of one cursor are of no use.
 * VM_IO keeps madvise(2) from undoing that.
 *
 * Return: 0; -EINVAL for a wrong length or a private mapping; -EACCES for an access that may not
 * be had; -ENOMEM.
 */
int ronbus_region_map(const struct ronbus_region *region, struct vm_area_struct *vma, bool writable)
{
	if (vma_pages(vma) != region->nr || !(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC || (vma->vm_flags & VM_WRITE && !writable))
		return -EACCES;

	vm_flags_mod(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY,
		     VM_MAYEXEC | (vma->vm_flags & VM_WRITE ? 0 : VM_MAYWRITE));
	vma->vm_ops = &ronbus_vm_ops;
	vma->vm_private_data = (void *)region;
	return ronbus_region_insert_pages(region, vma);
}
